// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"github.com/go-logr/logr"
	uberzap "go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// mostVerbose is the most verbose level that --zap-log-level can set. One level further, client-go logs the bodies of
// requests and responses, which hold the values of Secrets.
const mostVerbose = zapcore.Level(-7)

// NewLogger returns a logger that writes every line. The library drops lines with the same message when there are more
// than 100 a second, but not at a verbose level. So it gets the most verbose one, and a filter keeps to what flags say.
func NewLogger(options *zap.Options) logr.Logger {
	level := zapcore.InfoLevel
	switch {
	case options.Level != nil:
		level = max(zapcore.LevelOf(options.Level), mostVerbose)
	case options.Development:
		level = zapcore.DebugLevel
	}
	return zap.New(zap.UseFlagOptions(options), zap.Level(mostVerbose), zap.RawZapOpts(uberzap.IncreaseLevel(level)))
}
