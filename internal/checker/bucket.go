// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// ticketGrace is how much later than it was told a ticket's holder may come, and still find it.
const ticketGrace = 5 * time.Second

// bucket deals an endpoint's slots. Who finds none leaves a ticket, which is a place in a lane, and
// the lanes are served in turn. There is nothing in the background: slots are dealt whenever somebody asks.
type bucket struct {
	limiter *rate.Limiter
	tickets map[identity]*ticket // those that wait, and those that have a slot
	granted []*ticket
	lanes   []*lane // none is empty, and the first is served next
}

// ticket is shared by all who ask with the same token. It waits in the fastest of their lanes.
type ticket struct {
	id        identity
	isGranted bool
	expires   time.Time
	lane      *lane
	place     int // in it, counted from the first ticket that it ever had
}

type lane struct {
	name    string
	tickets []*ticket // some may have left for another lane
	served  int
}

func newBucket(qps float64, burst int) bucket {
	return bucket{limiter: rate.NewLimiter(rate.Limit(qps), burst), tickets: map[identity]*ticket{}}
}

// take takes a slot, or returns when to come for it.
func (b *bucket) take(id identity, lane string, room *room, now time.Time) (time.Time, bool) {
	b.expire(now)
	t := b.queue(id, lane, now)
	b.deal(room, now)
	if t.isGranted && !room.isFull(now) {
		b.granted = slices.DeleteFunc(b.granted, func(other *ticket) bool { return other == t })
		delete(b.tickets, id)
		return time.Time{}, true
	}
	retryAt := now.Add(b.wait(t, room, now))
	t.expires = retryAt.Add(ticketGrace)
	return retryAt, false
}

// credit takes a slot that may not be there yet: it is missing later.
func (b *bucket) credit(now time.Time) { b.limiter.ReserveN(now, 1) }

// waiting is the number of tickets that somebody may still come for.
func (b *bucket) waiting(now time.Time) int {
	n := 0
	for _, t := range b.tickets {
		if !now.After(t.expires) {
			n++
		}
	}
	return n
}

// clear voids all tickets.
func (b *bucket) clear() {
	clear(b.tickets)
	b.granted, b.lanes = nil, nil
}

// expire lets go of slots that nobody came for.
func (b *bucket) expire(now time.Time) {
	b.granted = slices.DeleteFunc(b.granted, func(t *ticket) bool {
		isExpired := now.After(t.expires)
		if isExpired {
			delete(b.tickets, t.id)
		}
		return isExpired
	})
}

// queue finds or makes the token's ticket, and its place in a lane.
func (b *bucket) queue(id identity, name string, now time.Time) *ticket {
	t := b.tickets[id]
	if t == nil {
		t = &ticket{id: id}
		b.tickets[id] = t
	}
	t.expires = now.Add(ticketGrace)
	if t.isGranted {
		return t
	}
	i := slices.IndexFunc(b.lanes, func(l *lane) bool { return l.name == name })
	if i < 0 {
		i = len(b.lanes)
	}
	if t.lane != nil && b.ahead(slices.Index(b.lanes, t.lane), t.place-t.lane.served) <= b.ahead(i, b.length(i)) {
		return t
	}
	if i == len(b.lanes) {
		b.lanes = append(b.lanes, &lane{name: name})
	}
	t.lane, t.place = b.lanes[i], b.lanes[i].served+len(b.lanes[i].tickets)
	t.lane.tickets = append(t.lane.tickets, t)
	return t
}

// length is how many tickets wait in a lane, or in one that is yet to be.
func (b *bucket) length(i int) int {
	if i == len(b.lanes) {
		return 0
	}
	return len(b.lanes[i].tickets)
}

// deal gives the slots there are to the tickets whose turn it is. It runs only so far ahead of the room that a slow
// endpoint, too, is shared in turn, and not by whoever comes at the right moment; at a quick one it is better that who
// comes finds room than that it is kept for who is away.
func (b *bucket) deal(room *room, now time.Time) {
	// Slots that are kept are a part of the burst: whoever has one may come together with all others.
	if spare := int(b.limiter.TokensAt(now)) + len(b.granted) - b.limiter.Burst(); spare > 0 {
		b.limiter.AllowN(now, min(spare, b.limiter.Burst()))
	}
	for len(b.granted)+room.inside < room.ahead(now) {
		t := b.next(now)
		if t == nil || !b.limiter.AllowN(now, 1) {
			return
		}
		served := b.lanes[0]
		b.lanes = b.lanes[1:]
		served.pop()
		if len(served.tickets) > 0 {
			b.lanes = append(b.lanes, served)
		}
		t.isGranted, t.lane = true, nil
		if grace := now.Add(ticketGrace); t.expires.Before(grace) { // its holder may have been told to come later
			t.expires = grace
		}
		b.granted = append(b.granted, t)
	}
}

// next returns the ticket whose turn it is, after dropping those that left for another lane or were given up.
func (b *bucket) next(now time.Time) *ticket {
	for len(b.lanes) > 0 {
		first := b.lanes[0]
		t := first.tickets[0]
		if t.lane == first && t.place == first.served {
			if !now.After(t.expires) {
				return t
			}
			delete(b.tickets, t.id)
		}
		if first.pop(); len(first.tickets) == 0 {
			b.lanes = b.lanes[1:]
		}
	}
	return nil
}

// wait estimates when it is a ticket's turn. By the rate that is exact, but for lanes that join. How long calls
// take is a guess, and bounded, so that an endpoint which recovers is not left alone for long.
func (b *bucket) wait(t *ticket, room *room, now time.Time) time.Duration {
	if t.isGranted {
		return room.wait(slices.Index(b.granted, t)+1, 0, now)
	}
	ahead := b.ahead(slices.Index(b.lanes, t.lane), t.place-t.lane.served)
	missing := float64(ahead+1) - b.limiter.TokensAt(now)
	byRate := max(0, time.Duration(missing/float64(b.limiter.Limit())*float64(time.Second)))
	// A tick more than it takes, since the limiter reckons in floating point.
	wait := byRate + time.Millisecond
	if calls := ahead + 1 + len(b.granted) + room.inside - room.size(now); calls > 0 {
		wait = max(wait, room.wait(calls, byRate, now))
	}
	return wait
}

// ahead counts the tickets that are served before the one in a place of a lane.
func (b *bucket) ahead(i, place int) int {
	ahead := place
	for j, other := range b.lanes {
		switch {
		case j < i:
			ahead += min(len(other.tickets), place+1)
		case j > i:
			ahead += min(len(other.tickets), place)
		}
	}
	return ahead
}

func (l *lane) pop() {
	l.tickets[0] = nil
	l.tickets = l.tickets[1:]
	l.served++
}
