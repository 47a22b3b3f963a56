// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"slices"
	"time"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// environment is all that the operator knows about one of Jupico's environments.
type environment struct {
	name v1alpha1.Environment
	// url is the base URL in its canonical spelling, as Jupico's public documentation gives it.
	url string
	// isReset is true when Jupico resets the accounts every day, so that a rejection usually heals by itself.
	isReset bool
	// longestBackoff is the longest wait between two attempts at a rejected token, unless checkInterval is longer.
	longestBackoff time.Duration
	// hint says what it often means that the endpoint cannot be reached. It may be empty.
	hint string
}

// environments has one row for each value of v1alpha1.Environment. Nothing else in the operator tells environments
// apart.
var environments = []environment{
	{
		name:           v1alpha1.EnvironmentSharedSandbox,
		url:            "https://sandbox-platform.jupico.com",
		isReset:        true,
		longestBackoff: 15 * time.Minute, // after a reset, users want to know soon that the account works again
	},
	{
		name:           v1alpha1.EnvironmentSandbox,
		url:            "https://sandbox-platform.jupico.com",
		longestBackoff: time.Hour,
	},
	{
		name:           v1alpha1.EnvironmentProduction,
		url:            "https://platform.jupico.com",
		longestBackoff: time.Hour,
		hint: "Production may be limited to allow-listed source addresses: see whether the operator's egress address is " +
			"one.",
	},
}

// environmentOf returns the row of an environment. Of an unknown one it returns an empty row, so that its credentials
// are sent nowhere.
func environmentOf(name v1alpha1.Environment) environment {
	for _, row := range environments {
		if row.name == name {
			return row
		}
	}
	return environment{}
}

// EnvironmentURL returns the base URL of an environment, or nothing when the environment is unknown.
func EnvironmentURL(name v1alpha1.Environment) string { return environmentOf(name).url }

// EnvironmentURLs returns the base URLs of all environments, each once.
func EnvironmentURLs() []string {
	var urls []string
	for _, row := range environments {
		if !slices.Contains(urls, row.url) {
			urls = append(urls, row.url)
		}
	}
	return urls
}
