// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package resilience

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
)

var errDead = errors.New("the operator is dead")

// call is a request of an operator to the API server.
type call struct {
	method   string
	resource string // with the subresource
	name     string
	body     []byte

	isWatch, isDryRun bool
	// number of a write among those of its operator, from 1 on. Zero for everything else. Events do not count.
	number int
}

// send sends a call on to the API server.
type send func() (*http.Response, error)

// trouble decides what becomes of a call. It may send it on.
type trouble func(o *operator, c *call, send send) (*http.Response, error)

// line is the connection of an operator to the API server.
type line struct {
	operator *operator
	next     http.RoundTripper
	trouble  trouble

	mu      sync.Mutex
	changed sync.Cond
	dead    bool
	held    bool // calls wait, as those of a process that was stopped
	frozen  map[string]bool
	streams map[*stream]bool
	cutOff  map[string]bool  // resources of the watches that were cut and have not begun again
	told    map[string]int64 // what the operator was told, and how often it had looked at its clock until then
	writes  int
	calls   int // but for events
}

func newLine(o *operator, trouble trouble) *line {
	l := &line{
		operator: o, trouble: trouble, frozen: map[string]bool{}, streams: map[*stream]bool{},
		cutOff: map[string]bool{}, told: map[string]int64{},
	}
	l.changed.L = &l.mu
	return l
}

// RoundTrip implements http.RoundTripper.
func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	c, err := callOf(r)
	if err != nil {
		return nil, err
	}
	if !c.isEvent() && !c.isWatch {
		l.operator.begin()
		defer l.operator.end()
	}
	if err := l.admit(c); err != nil {
		return nil, err
	}
	send := func() (*http.Response, error) { return l.send(r, c) }
	if l.trouble != nil {
		return l.trouble(l.operator, c, send)
	}
	return send()
}

func callOf(r *http.Request) (*call, error) {
	c := &call{method: r.Method, isWatch: r.URL.Query().Get("watch") != "", isDryRun: r.URL.Query().Has("dryRun")}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	for i, part := range parts {
		if part == "namespaces" && i+2 < len(parts) {
			c.resource = parts[i+2]
			if i+3 < len(parts) {
				c.name = parts[i+3]
			}
			if i+4 < len(parts) {
				c.resource += "/" + parts[i+4]
			}
			break
		}
	}
	if r.Body != nil {
		var err error
		if c.body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
		r.Body = io.NopCloser(bytes.NewReader(c.body))
	}
	return c, nil
}

func (c *call) isEvent() bool { return c.resource == "events" }

func (c *call) isWrite() bool { return c.method != http.MethodGet && !c.isEvent() }

// admit counts a call, unless the operator is dead. While the operator is stopped, it waits.
func (l *line) admit(c *call) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waitWhileHeld()
	if l.dead {
		return errDead
	}
	if !c.isEvent() {
		l.calls++
	}
	if c.isWrite() {
		l.writes++
		c.number = l.writes
	}
	return nil
}

// waitWhileHeld is called with the lock.
func (l *line) waitWhileHeld() {
	for l.held && !l.dead {
		l.changed.Wait()
	}
}

// send sends a call on, and looks at what a write does to Secrets.
func (l *line) send(r *http.Request, c *call) (*http.Response, error) {
	if l.isDead() {
		return nil, errDead
	}
	judge := l.operator.world.expectWrite(c)
	response, err := l.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < http.StatusBadRequest {
		judge()
	}
	if c.method == http.MethodGet && c.name == "" {
		response.Body = l.stream(c.resource, c.isWatch, response.Body)
	}
	return response, nil
}

func (l *line) isDead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

func (l *line) die() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = true
	l.breakStreams()
}

// hold stops the operator: its calls wait, and it is told nothing.
func (l *line) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = true
}

// waitForRelease waits until the operator is no longer stopped.
func (l *line) waitForRelease() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waitWhileHeld()
}

func (l *line) isHeld() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

func (l *line) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = false
	l.changed.Broadcast()
}

// freeze keeps back what watches of these resources say. Their connections stay open.
func (l *line) freeze(resources ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, resource := range resources {
		l.frozen[resource] = true
	}
}

// thaw passes on what was kept back.
func (l *line) thaw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.frozen)
	l.changed.Broadcast()
}

// cut ends all watches. What was kept back is lost.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.frozen)
	for s := range l.streams {
		l.cutOff[s.resource] = true
	}
	l.breakStreams()
}

// isWatching reports whether every watch that was cut has begun again. The operator waits a second or more before that.
func (l *line) isWatching() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.cutOff) == 0
}

// breakStreams is called with the lock.
func (l *line) breakStreams() {
	for s := range l.streams {
		s.broken = true
		_ = s.body.Close()
	}
	l.changed.Broadcast()
}

// isTold reports whether the operator was told something, and has reconciled since.
func (l *line) isTold(what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, isTold := l.told[what]
	return isTold && l.operator.rounds.Load() > before
}

// stream is the answer to a list or a watch.
type stream struct {
	line     *line
	resource string
	body     io.ReadCloser
	broken   bool   // guarded by the line's lock
	tail     []byte // the end of what was read before
}

func (l *line) stream(resource string, isWatch bool, body io.ReadCloser) *stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &stream{line: l, resource: resource, body: body}
	if isWatch {
		l.streams[s] = true
		delete(l.cutOff, resource)
		l.operator.noteActive() // what it missed is about to come
	}
	return s
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	for (s.line.held || s.line.frozen[s.resource]) && !s.broken && !s.line.dead {
		s.line.changed.Wait()
	}
	if s.broken || s.line.dead {
		return 0, io.ErrUnexpectedEOF // as for a connection that was cut
	}
	if n > 0 {
		s.line.operator.noteActive()
		s.note(p[:n])
	}
	return n, err
}

// note finds the changes that a test waits for.
func (s *stream) note(read []byte) {
	if s.resource != "jupicocredentials" {
		return
	}
	text := append(s.tail, read...)
	for _, found := range tickPattern.FindAll(text, -1) {
		if _, isKnown := s.line.told[string(found)]; !isKnown {
			s.line.told[string(found)] = s.line.operator.rounds.Load()
		}
	}
	s.tail = bytes.Clone(text[max(0, len(text)-tickLength):])
}

// Close implements io.Closer.
func (s *stream) Close() error {
	s.line.mu.Lock()
	delete(s.line.streams, s)
	s.broken = true
	s.line.changed.Broadcast()
	s.line.mu.Unlock()
	return s.body.Close()
}
