// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package docs holds the pages for users, of which programs repeat parts.
package docs

import _ "embed"

// Conditions is the page about conditions and events.
//
//go:embed reference/conditions.md
var Conditions string
