// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package resilience

import (
	"maps"
	"slices"
	"sync"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// consumer is an application that reads the target all the time. When the target is renamed, it reads the former one
// until the new one has a token.
type consumer struct {
	world *world
	watch watch.Interface
	ended chan struct{}

	mu     sync.Mutex
	reads  []string          // one of these has to have a token
	next   string            // what it reads once that has a token; empty: the same as now
	tokens map[string]string // of all Secrets that have one
	// hadToken: a target had a token at some time. From then on, one must have one, unless mayMiss.
	hadToken, misses, mayMiss, isStopped bool
}

func newConsumer(w *world) *consumer {
	c := &consumer{world: w, reads: []string{"target"}, tokens: map[string]string{}, ended: make(chan struct{})}
	var err error
	c.watch, err = admin.Watch(ctx, &corev1.SecretList{}, client.InNamespace(w.namespace))
	w.must(err)
	go c.run()
	return c
}

func (c *consumer) run() {
	defer close(c.ended)
	for event := range c.watch.ResultChan() {
		if secret, isSecret := event.Object.(*corev1.Secret); isSecret {
			c.see(secret, event.Type == watch.Deleted)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.isStopped {
		c.world.violated("the consumer's watch ended")
	}
}

func (c *consumer) see(secret *corev1.Secret, isDeleted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	token := string(secret.Data[v1alpha1.TargetKeyToken])
	if isDeleted {
		token = ""
	}
	if token != "" && token != c.tokens[secret.Name] && !c.isKnown(token) {
		c.world.violated("the consumer read a token in Secret %q that no API ever accepted", secret.Name)
	}
	if c.tokens[secret.Name] = token; token == "" {
		delete(c.tokens, secret.Name)
	}
	c.look()
}

// look checks that one of the targets has a token. It is called with the lock.
func (c *consumer) look() {
	if c.tokens[c.next] != "" {
		c.reads, c.next = []string{c.next}, ""
	}
	has := slices.ContainsFunc(c.reads, func(name string) bool { return c.tokens[name] != "" })
	switch {
	case has && c.misses:
		c.misses, c.mayMiss = false, false
	case !has && c.hadToken && !c.misses:
		c.misses = true
		if !c.mayMiss {
			c.world.violated("the consumer finds no token any more in %q", c.reads)
		}
	}
	c.hadToken = c.hadToken || has
}

func (c *consumer) isKnown(token string) bool {
	return c.world.isPlanted(token) || c.world.api.hasAccepted(token) || c.world.otherAPI.hasAccepted(token)
}

// follow lets the consumer know that the target is to have another name.
func (c *consumer) follow(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads, c.next = append(c.reads, name), name
}

// allowGap lets the target be without a token once: somebody deletes it, or its type changes.
func (c *consumer) allowGap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mayMiss = true
}

// catchUp waits until the consumer has seen the targets as they are.
func (c *consumer) catchUp() {
	c.world.g.Eventually(func() bool {
		c.mu.Lock()
		names, seen := c.reads, maps.Clone(c.tokens)
		c.mu.Unlock()
		for name, token := range c.world.tokensOf(names...) {
			if seen[name] != token {
				return false
			}
		}
		return true
	}, soon, "5ms").Should(BeTrue(), "the consumer sees the target")
}

func (c *consumer) stop() {
	c.mu.Lock()
	c.isStopped = true
	c.mu.Unlock()
	c.watch.Stop()
	<-c.ended
}
