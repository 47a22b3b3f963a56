// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package resilience

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

const (
	// soon is how long a run waits for what takes milliseconds, on a machine that is busy.
	soon = 30 * time.Second
	// brief is longer than a rejection waits for its confirmation, and long is longer than any planned check is off.
	brief = 7 * time.Second
	long  = 67 * time.Minute
)

// world is what one run happens in: a namespace, APIs, a clock, and the operators, of which one at a time is on duty.
type world struct {
	namespace     string
	api, otherAPI *api
	clock         shiftedClock
	log           syncBuffer
	g             Gomega
	ticks         int
	isUndisturbed bool
	isVacancy     bool // an operator that dies is not replaced yet
	consumer      *consumer

	mu         sync.Mutex
	onDuty     *operator
	operators  []*operator
	resources  []string // the names of the resources
	targets    map[string]bool
	delivered  map[string]bool // tokens that an operator wrote
	planted    map[string]bool // tokens that somebody else wrote into a target
	violations []string
	// successorTrouble is that of the operators after the first.
	successorTrouble trouble
}

// stop ends a run.
type stop struct{ why string }

// newWorld makes a world without an operator.
func newWorld() *world {
	w := &world{targets: map[string]bool{}, delivered: map[string]bool{}, planted: map[string]bool{}}
	w.g = NewGomega(func(message string, _ ...int) { panic(stop{message}) })
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "world-"}}
	w.must(admin.Create(ctx, namespace))
	w.namespace = namespace.Name
	w.api, w.otherAPI = endpoints.add(w), endpoints.add(w)
	w.consumer = newConsumer(w)
	return w
}

// close ends all operators, and waits until they have.
func (w *world) close() {
	w.consumer.stop()
	w.mu.Lock()
	operators := w.operators
	w.mu.Unlock()
	for _, o := range operators {
		o.kill()
	}
	for _, o := range operators {
		select {
		case <-o.ended:
		case <-time.After(soon):
			w.violated("the operator %s did not end", o.name)
		}
	}
	endpoints.remove(w.api)
	endpoints.remove(w.otherAPI)
}

func (w *world) must(err error) { w.g.Expect(err).NotTo(HaveOccurred()) }

// violated notes what must not happen.
func (w *world) violated(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}

func (w *world) operatorNamed(name string) *operator {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.operators {
		if o.name == name {
			return o
		}
	}
	return nil
}

// current returns the operator on duty. One that died is replaced by another one, which knows nothing.
func (w *world) current() *operator {
	if o := w.latest(); !o.isDead() && !o.line.isHeld() {
		return o
	}
	w.startOperator(w.successorTrouble)
	return w.latest()
}

func (w *world) latest() *operator {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.onDuty
}

// isVacant reports whether no operator is on duty, and none is to come yet.
func (w *world) isVacant() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.isVacancy && w.onDuty.isDead()
}

// await waits until the operator on duty meets a condition, if there is one.
func (w *world) await(what string, isMet func(o *operator) bool) {
	w.g.Eventually(func() bool { return w.isVacant() || isMet(w.current()) }, soon, "3ms").Should(BeTrue(), what)
}

// Each tick is a change of a resource that tells the operator nothing, but wakes it.
const (
	tickAnnotation = "example.com/tick"
	tickFormat     = "tick-%06d."
	tickLength     = len("tick-000000.")
)

var tickPattern = regexp.MustCompile(`tick-[0-9]{6}\.`)

// tick wakes the operator, and waits until it has seen that and has come to rest.
func (w *world) tick() {
	var ticks []string
	for _, name := range w.resources {
		w.ticks++
		value := fmt.Sprintf(tickFormat, w.ticks)
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, tickAnnotation, value)
		err := admin.Patch(ctx, w.resourceNamed(name), client.RawPatch(types.MergePatchType, patch))
		w.must(client.IgnoreNotFound(err))
		if err == nil {
			ticks = append(ticks, value)
		}
	}
	w.await("the operator sees what changes, and comes to rest", func(o *operator) bool {
		for _, value := range ticks {
			if !o.line.isTold(value) {
				return false
			}
		}
		return o.line.isWatching() && o.isIdle()
	})
}

// settle lets a few seconds pass until nothing changes any more.
func (w *world) settle() { w.pass(brief, 12) }

// rest lets hours pass until nothing changes any more: all that was planned has been done.
func (w *world) rest() {
	w.pass(long, 8)
	w.settle()
}

// pass moves the clock, at most so many times, until the state is the same three times.
func (w *world) pass(d time.Duration, most int) {
	w.tick()
	last, repeated := w.state(), 0
	for range most {
		if w.isVacant() {
			return
		}
		w.clock.advance(d)
		w.tick()
		state := w.state()
		if repeated++; state != last {
			repeated = 0
		}
		if last = state; repeated == 2 {
			return
		}
	}
}

func (w *world) resourceNamed(name string) *v1alpha1.JupicoCredential {
	return &v1alpha1.JupicoCredential{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
}

func (w *world) secretNamed(name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
}

// write creates a Secret, or replaces the data of one.
func (w *world) write(name string, data map[string][]byte) {
	secret := w.secretNamed(name)
	secret.Data = data
	err := admin.Create(ctx, secret)
	if apierrors.IsAlreadyExists(err) {
		w.change(name, func(s *corev1.Secret) { s.Data = data })
		return
	}
	w.must(err)
}

// change changes a Secret, whatever the operator does to it meanwhile. There may be none when the operator, disturbed,
// did not make it yet.
func (w *world) change(name string, change func(*corev1.Secret)) {
	w.g.Eventually(func() error {
		secret := w.secretNamed(name)
		err := admin.Get(ctx, client.ObjectKeyFromObject(secret), secret)
		if apierrors.IsNotFound(err) && !w.isUndisturbed {
			return nil
		}
		if err != nil {
			return err
		}
		change(secret)
		return admin.Update(ctx, secret)
	}, soon, "5ms").Should(Succeed())
}

// create makes a resource of that name, whose source is the Secret "source" and whose target is the Secret "target".
func (w *world) create(name string, changes ...func(*v1alpha1.JupicoCredential)) {
	r := w.resourceNamed(name)
	r.Spec = v1alpha1.JupicoCredentialSpec{
		Environment: v1alpha1.EnvironmentSandbox,
		Endpoint:    &v1alpha1.Endpoint{URL: w.api.url, CABundle: endpoints.ca.PEM()},
		Credentials: []v1alpha1.Credential{{
			Name: "main", BasicAuthSecretRef: &v1alpha1.BasicAuthSecretReference{Name: "source"},
		}},
		Target: v1alpha1.Target{Name: "target"},
	}
	for _, change := range changes {
		change(r)
	}
	w.mu.Lock()
	if !slices.Contains(w.resources, name) {
		w.resources = append(w.resources, name)
	}
	w.targets[r.Spec.Target.Name] = true
	w.mu.Unlock()
	w.must(admin.Create(ctx, r))
}

// edit changes the spec of a resource.
func (w *world) edit(name string, change func(*v1alpha1.JupicoCredential)) {
	before := w.resourceNamed(name)
	w.must(admin.Get(ctx, client.ObjectKeyFromObject(before), before))
	after := before.DeepCopy()
	change(after)
	w.mu.Lock()
	w.targets[after.Spec.Target.Name] = true
	w.mu.Unlock()
	w.must(admin.Patch(ctx, after, client.MergeFrom(before)))
}

var beginOrEnd = regexp.MustCompile(`"msg":"(Starting|Stopping|Shutdown|All workers|Wait completed)`)

// syncBuffer keeps what is logged.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

// Write implements io.Writer.
func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

// last returns the last lines that tell more than that a process begins or ends.
func (b *syncBuffer) last(lines int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := slices.DeleteFunc(strings.Split(strings.TrimSpace(b.buffer.String()), "\n"), func(line string) bool {
		return beginOrEnd.MatchString(line)
	})
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
