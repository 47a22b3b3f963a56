// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"math"
	"time"
)

const (
	// shortestWait is the shortest time that an asker is sent away for want of room.
	shortestWait = 50 * time.Millisecond
	// shortestCall is what a call is reckoned to take at least, so that those who wait are spread.
	shortestCall = 5 * time.Millisecond
	// moment is how long it takes at most until a slot is used, at a quick endpoint.
	moment = time.Second
	// pacePart is the part of a new duration in the average.
	pacePart = 8
	// quickCall is how long a call takes at most that holds a worker so briefly that others do not miss it.
	quickCall = 100 * time.Millisecond
)

// room is how many askers may be in calls to one endpoint at a time, so that a slow one leaves workers for others.
type room struct {
	workers int
	longest time.Duration // that a call takes
	inside  int           // askers, those who wait for another's call too
	calls   map[*call]bool
	pace    time.Duration // a moving average of how long calls took
	dealt   int
}

func newRoom(workers int, longest time.Duration) room {
	return room{workers: workers, longest: longest, calls: map[*call]bool{}}
}

// size is a quarter of the workers, and three quarters as long as calls are known to be quick: whoever is sent away
// costs more than a worker that is held for a moment. Where an endpoint begins to hang, the calls under way show it.
func (r *room) size(now time.Time) int {
	quarters := 1
	if r.pace > 0 && r.duration(now) <= quickCall {
		quarters = 3
	}
	return max(1, r.workers*quarters/4)
}

func (r *room) isFull(now time.Time) bool { return r.inside >= r.size(now) }

func (r *room) observe(duration time.Duration) {
	if r.pace == 0 {
		r.pace = duration
	}
	r.pace += (duration - r.pace) / pacePart
}

// duration is how long a call is expected to take: as long as others did, or as one is taking already.
func (r *room) duration(now time.Time) time.Duration {
	expected := max(r.pace, shortestCall)
	for c := range r.calls {
		expected = max(expected, now.Sub(c.began))
	}
	return min(expected, r.longest)
}

// ahead is how many may have a slot: twice as many as there is room for, or as many as are done within a moment.
func (r *room) ahead(now time.Time) int {
	return r.size(now) * max(2, int(moment/r.duration(now)))
}

// wait estimates how long it takes until so many calls have ended. It is no longer than one call may take, beyond the
// time that passes anyway.
func (r *room) wait(calls int, anyway time.Duration, now time.Time) time.Duration {
	estimate := time.Duration(calls) * r.duration(now) / time.Duration(r.size(now))
	return min(shortestWait+estimate, r.longest+anyway)
}

// endOf estimates when a call has ended. Many may wait for the same, and are spread over half as long again.
func (r *room) endOf(c *call, now time.Time) time.Time {
	left := max(r.duration(now)-now.Sub(c.began), shortestWait)
	r.dealt++
	_, part := math.Modf(float64(r.dealt) * math.Phi) // parts of the golden ratio fall evenly, however many there are
	return now.Add(min(left+time.Duration(part/2*float64(left)), r.longest))
}
