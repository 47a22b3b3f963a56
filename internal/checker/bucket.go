// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"slices"
	"time"

	"golang.org/x/time/rate"
)

const (
	// workersPerPlace: half of the workers may be in flight to one endpoint, so that an endpoint that hangs leaves as many
	// for all others.
	workersPerPlace = 2
	// shortestCall is how long a call is expected to take at least.
	shortestCall = 2 * time.Millisecond
	// longestWait is how long a caller is deferred at most. By then it learns that others left the queues.
	longestWait = time.Minute
	// ticketGrace is how much later than it was told a caller may come back and still find its ticket.
	ticketGrace = 5 * time.Second
)

// bucket limits the requests to a base URL: how many are sent per second, and how many callers are in flight.
//
// A caller that finds no slot leaves a ticket in a queue, mostly that of its namespace, and is told when to come back.
// It is served when there are slots for all tickets before its own, and one more. The queues are served in turn: one
// ticket of the first, one of the second, and so on. Nothing runs in the background.
//
// The limiter of the library alone will not do: it serves callers in the order in which they come, so that a namespace
// with a thousand resources would be served before all others, and each caller would block a worker while it waits.
type bucket struct {
	limiter     *rate.Limiter // its tokens are called slots here
	maxInFlight int
	inFlight    []time.Time // of each caller, also of those that wait for another's call: when the call began
	queues      []*queue    // the first is served next
	tickets     map[identity]*ticket
}

type queue struct {
	name    string
	tickets []*ticket // the first is served next
}

// ticket is shared by all callers with the same token. It is in the queue of that caller which is served first.
type ticket struct {
	id      identity
	queue   *queue
	expires time.Time
}

func newBucket(options Options) bucket {
	return bucket{
		limiter:     rate.NewLimiter(rate.Limit(options.QPS), options.Burst),
		maxInFlight: max(1, options.Workers/workersPerPlace),
		tickets:     map[identity]*ticket{},
	}
}

// take takes a slot, or returns when to come back for one.
func (b *bucket) take(id identity, queueName string, now time.Time) (retryAt time.Time, ok bool) {
	b.dropExpired(now)
	t := b.enqueue(id, queueName)
	turn := b.before(t.queue, slices.Index(t.queue.tickets, t)) + 1
	missing := float64(turn) - b.limiter.TokensAt(now)
	if missing <= 0 && b.hasPlace() {
		b.limiter.ReserveN(now, 1)
		b.remove(t)
		i := slices.Index(b.queues, t.queue)
		b.queues = append(slices.Delete(b.queues, i, i+1), t.queue)
		return time.Time{}, true
	}
	wait := time.Millisecond // more than it takes, since the limiter calculates in floating point
	if missing > 0 {
		wait += time.Duration(missing / float64(b.limiter.Limit()) * float64(time.Second))
	}
	if !b.hasPlace() {
		// Each place serves one caller in the time of a call, which the age of the oldest call tells best.
		age := max(shortestCall, now.Sub(slices.MinFunc(b.inFlight, time.Time.Compare)))
		wait = max(wait, age*time.Duration(turn)/time.Duration(b.maxInFlight))
	}
	retryAt = now.Add(min(wait, longestWait))
	t.expires = retryAt.Add(ticketGrace)
	return retryAt, false
}

func (b *bucket) hasPlace() bool { return len(b.inFlight) < b.maxInFlight }

// enter takes a place for a caller whose call began then.
func (b *bucket) enter(began time.Time) { b.inFlight = append(b.inFlight, began) }

// leave gives the place of a caller back whose call began then.
func (b *bucket) leave(began time.Time) {
	i := slices.IndexFunc(b.inFlight, began.Equal)
	b.inFlight = slices.Delete(b.inFlight, i, i+1)
}

// waiting is the number of tickets.
func (b *bucket) waiting(now time.Time) int {
	b.dropExpired(now)
	return len(b.tickets)
}

// clear drops all tickets.
func (b *bucket) clear() {
	clear(b.tickets)
	b.queues = nil
}

// enqueue finds the token's ticket, or adds one to the end of a queue. A ticket moves to that queue if it is served
// earlier there.
func (b *bucket) enqueue(id identity, queueName string) *ticket {
	i := slices.IndexFunc(b.queues, func(q *queue) bool { return q.name == queueName })
	if i < 0 {
		i = len(b.queues)
		b.queues = append(b.queues, &queue{name: queueName})
	}
	q := b.queues[i]
	if t := b.tickets[id]; t != nil {
		if b.before(t.queue, slices.Index(t.queue.tickets, t)) <= b.before(q, len(q.tickets)) {
			return t
		}
		b.remove(t)
	}
	t := &ticket{id: id, queue: q}
	q.tickets = append(q.tickets, t)
	b.tickets[id] = t
	return t
}

// before counts the tickets that are served before the one in this position of a queue. Each round serves one ticket of
// every queue. So by then, a queue ahead of it has been served once more often than one behind it.
func (b *bucket) before(q *queue, position int) int {
	n := position
	served := position + 1
	for _, other := range b.queues {
		if other == q {
			served = position
		} else {
			n += min(len(other.tickets), served)
		}
	}
	return n
}

func (b *bucket) remove(t *ticket) {
	delete(b.tickets, t.id)
	i := slices.Index(t.queue.tickets, t)
	t.queue.tickets = slices.Delete(t.queue.tickets, i, i+1)
}

// dropExpired drops the tickets at the front of the queues that nobody came back for, and empty queues.
func (b *bucket) dropExpired(now time.Time) {
	b.queues = slices.DeleteFunc(b.queues, func(q *queue) bool {
		for len(q.tickets) > 0 && now.After(q.tickets[0].expires) {
			delete(b.tickets, q.tickets[0].id)
			q.tickets = slices.Delete(q.tickets, 0, 1)
		}
		return len(q.tickets) == 0
	})
}
