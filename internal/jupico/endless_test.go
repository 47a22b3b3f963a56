// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package jupico

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/jupico-operator/jupico-operator/internal/jupico/outcome"
)

// endlessAnswers begin with head, and go on with more for as long as the connection is open: in small steps, or as fast
// as it can be sent.
var endlessAnswers = []struct {
	sentence   string
	head, more string
	isSlow     bool
	want       outcome.Outcome
	detail     string
}{
	{"a silence", "", "", true, outcome.Unreachable, "no answer within 50ms"},
	{"a header by the byte", "HTTP/1.1 200 OK\r\nX-A: ", "a", true, outcome.Unreachable, "no answer within 50ms"},
	{"headers by the line", "HTTP/1.1 200 OK\r\n", "A: b\r\n", true, outcome.Unreachable, "no answer within 50ms"},
	{"a body by the byte", "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", " ", true, outcome.Unreachable, "no answer within 50ms"},
	{"a body of no length by the byte", "HTTP/1.1 401 No\r\n\r\n", " ", true, outcome.Unreachable, "no answer within 50ms"},
	{"a body by the chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n", true, outcome.Unreachable, "no answer within 50ms"},
	{"a trailer by the byte", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: ", "b", true, outcome.Unreachable, "no answer within 50ms"},
	{"one 102 after another", "", "HTTP/1.1 102 Processing\r\n\r\n", true, outcome.Unreachable, "no answer within 50ms"},
	{"a 100 and a silence", "HTTP/1.1 100 Continue\r\n\r\n", "", true, outcome.Unreachable, "no answer within 50ms"},
	{"a switch of protocols", "HTTP/1.1 101 Switch\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n", "", true, outcome.UnexpectedResponse, "HTTP 101"},
	{"a switch to no protocol", "HTTP/1.1 101 Switch\r\n\r\n", "a", true, outcome.UnexpectedResponse, "HTTP 101"},

	{"many a 103", "", "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", false, outcome.Unreachable, broken},
	{"a huge 103", "HTTP/1.1 103 Early Hints\r\nLink: ", "aaaaaaaaaaaaaaaa", false, outcome.Unreachable, broken},
	{"many headers", "HTTP/1.1 200 OK\r\n", "A: b\r\n", false, outcome.Unreachable, broken},
	{"a huge header", "HTTP/1.1 200 OK\r\nX-A: ", "aaaaaaaaaaaaaaaa", false, outcome.Unreachable, broken},
	{"a huge status line", "HTTP/1.1 200 ", "OKOKOKOKOKOKOKOK", false, outcome.Unreachable, broken},
	{"a huge body", "HTTP/1.1 200 OK\r\n\r\n", "                ", false, outcome.UnexpectedResponse, "HTTP 200 with a body over 64 KiB"},
	{"many chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "4\r\n    \r\n", false, outcome.UnexpectedResponse, "HTTP 200 with a body over 64 KiB"},
	{"a huge extension of a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", "aaaaaaaaaaaaaaaa", false, outcome.Unreachable, broken},
	{"a huge trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: ", "bbbbbbbbbbbbbbbb", false, outcome.Unreachable, broken},
	{"a switch of protocols and much else", "HTTP/1.1 101 Switch\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n", "aaaaaaaaaaaaaaaa", false, outcome.UnexpectedResponse, "HTTP 101"},
}

// goOn sends more until the other side hangs up.
func goOn(conn net.Conn, head, more string, isSlow bool) {
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, head); err != nil {
		return
	}
	if more == "" {
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	piece, step := bytes.Repeat([]byte(more), 1024), time.NewTicker(time.Millisecond)
	defer step.Stop()
	for {
		if isSlow {
			<-step.C
			piece = []byte(more)
		}
		if _, err := conn.Write(piece); err != nil {
			return
		}
	}
}

func TestACheckEndsWithinItsTimeoutWhateverTheServerSendsAndLeavesNothingBehind(t *testing.T) {
	const timeout = 50 * time.Millisecond
	for _, tc := range endlessAnswers {
		t.Run("Endpoint that sends "+tc.sentence, func(t *testing.T) {
			s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
					goOn(conn, tc.head, tc.more, tc.isSlow)
				}
			}))
			limit := patience
			if tc.detail == "no answer within 50ms" {
				limit = timeout
			}
			client := clientWith(t, s.url, trusting(s), limit)
			wantNothingLeft(t, func() {
				for range 5 {
					wantResult(t, client.Check(t.Context(), parse(t, goodToken)), tc.want, tc.detail)
				}
			})
		})
	}
	for _, tc := range endlessAnswers {
		t.Run("Proxy that answers CONNECT with "+tc.sentence, func(t *testing.T) {
			proxy := listen(t, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 4096))
				goOn(conn, tc.head, tc.more, tc.isSlow)
			})
			client := clientThrough(t, "http://"+proxy[len("https://"):], productionURL, nil, timeout)
			wantNothingLeft(t, func() {
				for range 5 {
					if got := client.Check(t.Context(), parse(t, goodToken)); got.Outcome.IsEvidence() {
						t.Errorf("got %s (%s)", got.Outcome, got.Detail)
					}
				}
			})
		})
	}
}

// wantNothingLeft wants no goroutine more after the checks than before. Each side of a connection has some.
func wantNothingLeft(t *testing.T, check func()) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the collector would close connections that were forgotten
	before := runtime.NumGoroutine()
	check()
	gomega.NewWithT(t).Eventually(runtime.NumGoroutine, patience, time.Millisecond).Should(gomega.BeNumerically("<=", before))
}
