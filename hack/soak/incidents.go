// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// settleTime is how long after a disturbance the operator needs until it works as before.
	settleTime = 20 * time.Second
	// calmTime is how long there is no other disturbance after one, so that there are samples without any.
	calmTime = 50 * time.Second
	// longestPause is between two incidents.
	longestPause = 4 * time.Second
	// longestOutage is long enough for checks to fail by their timeout.
	longestOutage = 12 * time.Second
)

// incident is something that happens, to some members or to all.
type incident struct {
	name string
	// isDisturbance: it stops the work of the whole operator, or makes it wait.
	isDisturbance bool
	do            func(context.Context) error
}

func (k *soak) incidents() []incident {
	some := func(do func(context.Context, *member) error) func(context.Context) error {
		return func(ctx context.Context) error { return forEach(ctx, k.pick(), do) }
	}
	outage := func(fault string) func(context.Context) error {
		return func(ctx context.Context) error { return k.outage(ctx, fault) }
	}
	return []incident{
		{"rotation", false, some(k.rotate)},
		{"rotation", false, some(k.rotate)},
		{"mistyped password", false, some(k.mistype)},
		{"revocation", false, some(k.revoke)},
		{"mending", false, some(k.mend)},
		{"mending", false, some(k.mend)},
		{"tampering", false, some(k.tamper)},
		{"deletion", false, some(k.deleteTarget)},
		{"check request", false, some(k.requestCheck)},
		{"outage with 503", true, outage(`{"status":503}`)},
		{"outage with 429", true, outage(`{"status":429,"retryAfter":"5"}`)},
		{"outage with a page", true, outage(`{"html":true}`)},
		{"outage without an answer", true, outage(`{"hang":true}`)},
		{"outage with resets", true, outage(`{"resetConnection":true}`)},
		{"restart of the API server", true, k.restartAPIServer},
		{"restart of the API server", true, k.restartAPIServer},
	}
}

func (k *soak) killsOperator() incident {
	return incident{"restart of the operator", true, k.restartOperator}
}

// happen lets one thing after the other happen until a time.
func (k *soak) happen(ctx context.Context, until time.Time, incidents []incident) error {
	for time.Now().Before(until) {
		next := incidents[k.random.IntN(len(incidents))]
		if next.isDisturbance && (time.Since(k.disturbedAt()) < calmTime || time.Until(until) < longestOutage+settleTime) {
			continue
		}
		if err := k.happens(ctx, next); err != nil {
			return err
		}
		if err := pause(ctx, time.Duration(k.random.Int64N(int64(longestPause)))); err != nil {
			return err
		}
		if err := k.operator.Failure(); err != nil {
			return err
		}
	}
	return nil
}

func (k *soak) happens(ctx context.Context, i incident) error {
	if i.isDisturbance {
		k.disturb(time.Now().Add(time.Hour)) // until it is known
		defer func() { k.disturb(time.Now().Add(settleTime)) }()
	}
	k.happened[i.name]++
	return i.do(ctx)
}

// disturb notes that nothing is as usual until then.
func (k *soak) disturb(until time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calmAfter = until
}

// disturbedAt is when the last disturbance ended.
func (k *soak) disturbedAt() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.calmAfter.Add(-settleTime)
}

// pick returns some members, a half percent of all at most.
func (k *soak) pick() []*member {
	n := 1 + k.random.IntN(1+len(k.fleet)/200)
	var picked []*member
	for _, i := range k.random.Perm(len(k.fleet))[:n] {
		picked = append(picked, k.fleet[i])
	}
	return picked
}

// rotate gives an account and its source another password. The old one is rejected at once.
func (k *soak) rotate(ctx context.Context, m *member) error {
	m.edition++
	m.isRevoked, m.isMistyped = false, false
	if err := k.addAccount(ctx, m); err != nil {
		return err
	}
	return k.setSource(ctx, m, m.password())
}

func (k *soak) mistype(ctx context.Context, m *member) error {
	m.isMistyped = true
	return k.setSource(ctx, m, "mistyped "+m.password())
}

func (k *soak) revoke(ctx context.Context, m *member) error {
	m.isRevoked = true
	return k.emulator.Command(ctx, "/revoke", `{"name":"`+m.username()+`"}`)
}

// mend undoes what was done to a member, and asks for a check as its user would.
func (k *soak) mend(ctx context.Context, m *member) error {
	if m.isMistyped {
		if err := k.setSource(ctx, m, m.password()); err != nil {
			return err
		}
	}
	if m.isRevoked {
		if err := k.emulator.Command(ctx, "/restore", `{"name":"`+m.username()+`"}`); err != nil {
			return err
		}
	}
	if !m.isMistyped && !m.isRevoked {
		return nil
	}
	m.isMistyped, m.isRevoked = false, false
	return k.requestCheck(ctx, m)
}

func (k *soak) tamper(ctx context.Context, m *member) error {
	return k.patch(ctx, m, &corev1.Secret{}, m.target(), `{"stringData":{"token":"tampered"}}`)
}

// outage makes the emulator fail for a while.
func (k *soak) outage(ctx context.Context, fault string) error {
	if err := k.emulator.Command(ctx, "/fault", fault); err != nil {
		return err
	}
	if err := pause(ctx, time.Duration(k.random.Int64N(int64(longestOutage)))); err != nil {
		return err
	}
	return k.emulator.Command(ctx, "/fault", "{}")
}

// heal undoes all that was done.
func (k *soak) heal(ctx context.Context) error {
	return forEach(ctx, k.fleet, k.mend)
}

func pause(ctx context.Context, duration time.Duration) error {
	select {
	case <-time.After(duration):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
