// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package resilience

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const hostileKind = "hostile API server"

// hostileShare is one in how many calls fails.
const hostileShare = 5

// hostility is a trouble with the API server that can be ended.
type hostility struct {
	mu     sync.Mutex
	random *rand.Rand
	isOver bool
}

func newHostility(seed uint64) *hostility {
	return &hostility{random: rand.New(rand.NewPCG(seed, 1))}
}

func (h *hostility) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.isOver = true
}

// next returns a number below 5 for a call that fails, and another one for a call that does not.
func (h *hostility) next() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isOver {
		return hostileShare
	}
	if h.random.IntN(hostileShare) > 0 {
		return hostileShare
	}
	return h.random.IntN(5)
}

// trouble makes one in hostileShare calls fail.
func (h *hostility) trouble(_ *operator, c *call, send send) (*http.Response, error) {
	switch failure := h.next(); {
	case failure == 0 && c.isWrite():
		resource := schema.GroupResource{Resource: c.resource}
		return refuse(apierrors.NewConflict(resource, c.name, errors.New("a hostile answer")))
	case failure == 0, failure == 1:
		return refuse(apierrors.NewInternalError(errors.New("a hostile answer")))
	case failure == 2:
		return refuse(apierrors.NewTooManyRequests("a hostile answer", 1))
	case failure == 3:
		return nil, syscall.ECONNRESET
	case failure == 4 && c.isWrite():
		answer, err := send()
		discard(answer)
		return nil, errors.Join(err, io.ErrUnexpectedEOF)
	default:
		return send()
	}
}

// refuse answers a call in the API server's place.
func refuse(failure *apierrors.StatusError) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	recorder.Header().Set("Content-Type", "application/json")
	if details := failure.ErrStatus.Details; details != nil && details.RetryAfterSeconds > 0 {
		recorder.Header().Set("Retry-After", fmt.Sprint(details.RetryAfterSeconds))
	}
	recorder.WriteHeader(int(failure.ErrStatus.Code))
	failure.ErrStatus.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	if err := json.NewEncoder(recorder).Encode(failure.ErrStatus); err != nil {
		return nil, err
	}
	return recorder.Result(), nil
}

var _ = Describe("An API server that fails one call in five", func() {
	It("does not keep the operator from the same end, nor makes it hurry", func() {
		each(len(scenarios), func(i int) { scenarios[i].reference() })
		var runs []planned
		for round := range uint64(3) {
			for i := range scenarios {
				h := newHostility(seed + 1000*round + uint64(i))
				runs = append(runs, planned{&scenarios[i], disturbance{
					kind: hostileKind, point: fmt.Sprintf("round %d", round+1),
					trouble: h.trouble, isLasting: true,
					finish: func(*world) { h.end() },
				}})
			}
		}
		runAll(hostileKind, sample(runs, 5))
	})
})
