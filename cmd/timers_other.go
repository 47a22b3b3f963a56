// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

// slackenTimers does nothing: only Linux lets a program say how late its timers may be.
func slackenTimers() {}
