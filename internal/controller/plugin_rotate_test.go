// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
	"github.com/jupico-operator/jupico-operator/internal/jupico/jupicotest"
)

// newLoginIn makes an account, and a Secret with its login.
func (s *scene) newLoginIn(secret string) login {
	GinkgoHelper()
	l := newLogin()
	s.emulator.AddAccount(l.username, l.password, jupicotest.Standard)
	s.writeLogin(secret, l)
	return l
}

func (s *scene) writeLogin(secret string, l login) {
	GinkgoHelper()
	Expect(admin.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: secret}, Data: l.data(),
	})).To(Succeed())
}

// runningPod makes a pod that started before the target was written.
func (s *scene) runningPod(name string, spec corev1.PodSpec) *corev1.Pod {
	GinkgoHelper()
	Expect(admin.Create(ctx, &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "default"},
	})).To(Or(Succeed(), MatchError(ContainSubstring("already exists"))))
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, Spec: spec}
	Expect(admin.Create(ctx, pod)).To(Succeed())
	pod.Status.Phase = corev1.PodRunning
	pod.Status.StartTime = &metav1.Time{Time: s.get().Status.Target.UpdatedTime.Add(-1)}
	Expect(admin.Status().Update(ctx, pod)).To(Succeed())
	return pod
}

func (s *scene) stop(pod *corev1.Pod) {
	GinkgoHelper()
	Expect(admin.Delete(ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
}

// readsSecret has a Secret in its environment.
func readsSecret(name string) corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{{
		Name: "app", Image: "app", EnvFrom: []corev1.EnvFromSource{{
			SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}},
		}},
	}}}
}

func mountsTarget() corev1.PodSpec {
	return corev1.PodSpec{
		Containers: []corev1.Container{{
			Name: "app", Image: "app", VolumeMounts: []corev1.VolumeMount{{Name: "jupico", MountPath: "/etc/jupico"}},
		}},
		Volumes: []corev1.Volume{{Name: "jupico", VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{SecretName: "target"},
		}}},
	}
}

// setClockBack lets the operator live this long ago, until the end of the test.
func setClockBack(ago time.Duration) {
	restart := func(offset int64) {
		operator.stop()
		testClock.offset.Store(offset)
		operator.start()
	}
	DeferCleanup(restart, testClock.offset.Load())
	restart(-int64(ago))
}

func (s *scene) entryNames() string {
	GinkgoHelper()
	var names []string
	for _, entry := range s.get().Spec.Credentials {
		names = append(names, entry.Name)
	}
	return strings.Join(names, ",")
}

// editBeforePatches returns the URL of an API server. Before each of these patches, counted from 1, somebody edits the
// resource.
func (s *scene) editBeforePatches(isOne func(patch int64) bool) string {
	GinkgoHelper()
	var patches atomic.Int64
	return apiProxy(func(request *http.Request) {
		if request.Method == http.MethodPatch && isOne(patches.Add(1)) {
			s.edit(func(r *v1alpha1.JupicoCredential) { //nolint:contextcheck // it is the test that edits
				metav1.SetMetaDataAnnotation(&r.ObjectMeta, "edit", strconv.FormatInt(patches.Load(), 10))
				r.Spec.Credentials[0].BasicAuthSecretRef.PasswordKey = "password"
			})
		}
	})
}

var _ = Describe("The plugin's rotation", Ordered, func() {
	var p *plugin
	BeforeAll(func() { p = buildPlugin() })
	rotate := func(s *scene, args ...string) (string, int) {
		GinkgoHelper()
		return p.run(append([]string{"rotate", "payments", "--to-secret=fresh", "-n", s.namespace}, args...)...)
	}

	It("leads from one Secret to another, and says when the old credential may be revoked", func() {
		s := newScene()
		s.ready()
		fresh := s.newLoginIn("fresh")
		pod := s.runningPod("reader", readsSecret("target"))

		By("changing nothing without being told to")
		output, code := rotate(s)
		Expect(code).To(Equal(1), output)
		Expect(output).To(ContainSubstring(`        1. Add Secret fresh as the standby, entry "fresh".`))
		Expect(output).To(ContainSubstring("add --yes"))
		Expect(s.entryNames()).To(Equal("main"))

		By("naming the pods that have to be restarted")
		output, code = rotate(s, "--yes")
		Expect(code).To(Equal(3), output)
		Expect(output).To(ContainSubstring("pod/reader: 1 of 1 pods still have the old token: restart them."))
		Expect(output).To(ContainSubstring("Revoke nothing yet."))
		Expect(s.entryNames()).To(Equal("fresh,main"))
		Expect(s.targetToken()).To(Equal(fresh.token()))

		By("taking a container that started right after the write for an old one, as it may have read what was there")
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{
			Running: &corev1.ContainerStateRunning{StartedAt: metav1.Time{Time: s.get().Status.Target.UpdatedTime.Add(time.Second)}},
		}}}
		Expect(admin.Status().Update(ctx, pod)).To(Succeed())
		output, code = rotate(s, "--yes")
		Expect(code).To(Equal(3), output)

		By("allowing the revocation after that")
		s.stop(pod)
		output, code = rotate(s, "--yes")
		Expect(code).To(Equal(0), output)
		Expect(output).To(ContainSubstring("  done  4. "))
		Expect(output).To(ContainSubstring("You may now revoke the credential of Secret source at Jupico."))
		Expect(s.entryNames()).To(Equal("fresh,main"))

		By("removing the old entry after the revocation, which the next check would have noticed much later")
		s.emulator.Revoke(s.login.username)
		output, code = rotate(s, "--yes")
		Expect(code).To(Equal(0), output)
		Expect(output).To(ContainSubstring("The rotation is done"))
		Expect(s.entryNames()).To(Equal("fresh"))
		Expect(s.targetToken()).To(Equal(fresh.token()))
		output, code = rotate(s)
		Expect(code).To(Equal(0), output)
		Expect(output).To(ContainSubstring("there is nothing to do"))
	})

	It("names the pods that are broken when the old credential was revoked first", func() {
		s := newScene()
		s.ready()
		fresh := s.newLoginIn("fresh")
		s.runningPod("reader", readsSecret("target"))
		s.emulator.Revoke(s.login.username)
		s.askForCheck()
		s.expectReady("False", "Revoked")
		output, code := rotate(s, "--yes")
		Expect(code).To(Equal(0), output)
		Expect(output).To(ContainSubstring("pod/reader: 1 of 1 pods still have the old token: restart them."))
		Expect(s.entryNames()).To(Equal("fresh"))
		Expect(s.targetToken()).To(Equal(fresh.token()))
	})

	It("stops at a wrong password, and goes on when it is corrected", func() {
		s := newScene()
		s.ready()
		fresh := newLogin()
		s.writeLogin("fresh", fresh)
		output, code := rotate(s, "--yes")
		Expect(code).To(Equal(2), output)
		Expect(output).To(ContainSubstring("Jupico rejects the credential in Secret fresh (Rejected).\nNothing was swapped"))
		Expect(s.entryNames()).To(Equal("main,fresh"))
		Expect(s.targetToken()).To(Equal(s.login.token()))

		s.emulator.AddAccount(fresh.username, fresh.password, jupicotest.Standard)
		output, code = rotate(s, "--yes")
		Expect(code).To(Equal(0), output)
		Expect(s.targetToken()).To(Equal(fresh.token()))
	})

	It("stops at a Secret that does not exist, and at one with the same credential", func() {
		s := newScene()
		s.ready()
		output, code := rotate(s, "--yes")
		Expect(code).To(Equal(2), output)
		Expect(output).To(ContainSubstring("Secret fresh cannot be used (SourceNotFound)."))
		s.writeLogin("fresh", s.login)
		output, code = rotate(s, "--yes")
		Expect(code).To(Equal(2), output)
		Expect(output).To(ContainSubstring("Secret fresh holds the same credential as the present one."))
		Expect(s.entryNames()).To(Equal("main,fresh"))
	})

	It("goes on where it stopped", func() {
		s := newScene()
		s.ready()
		fresh := s.newLoginIn("fresh")
		s.emulator.Inject(jupicotest.Fault{Status: 503})
		output, code := rotate(s, "--yes", "--timeout=3s")
		Expect(code).To(Equal(3), output)
		Expect(output).To(ContainSubstring("Unavailable: it is tried again"))
		Expect(output).To(ContainSubstring("Run the command again, and it goes on from here."))
		Expect(s.entryNames()).To(Equal("main,fresh"))
		s.emulator.Clear()

		By("waiting for the pods that mount the target")
		pod := s.runningPod("mounter", mountsTarget())
		output, code = rotate(s, "--yes", "--timeout=5s")
		Expect(code).To(Equal(3), output)
		Expect(output).To(ContainSubstring("  done  1. "))
		Expect(output).To(ContainSubstring("Waiting until the pods that mount it see the new token ..."))
		Expect(s.targetToken()).To(Equal(fresh.token()))
		s.stop(pod)

		By("finding that the old credential was revoked meanwhile")
		s.emulator.Revoke(s.login.username)
		output, code = rotate(s, "--yes")
		Expect(code).To(Equal(0), output)
		Expect(s.entryNames()).To(Equal("fresh"))
	})

	It("waits for pods that mount the target, whatever the clocks say, unless they have had the time", func() {
		setClockBack(3 * time.Minute)
		s := newScene()
		s.ready()
		s.newLoginIn("fresh")
		spec := mountsTarget()
		spec.Containers = append(spec.Containers, readsSecret("target").Containers...)
		spec.Containers[1].Name = "reader"
		pod := s.runningPod("mounter", spec)
		pod.Status.StartTime = new(metav1.Now()) // so the reader has the new token
		Expect(admin.Status().Update(ctx, pod)).To(Succeed())
		output, code := rotate(s, "--yes", "--timeout=5s")
		Expect(code).To(Equal(3), output)
		Expect(output).To(ContainSubstring("Waiting until the pods that mount it see the new token ..."))
		output, code = rotate(s, "--yes")
		Expect(code).To(Equal(0), output)
		Expect(output).NotTo(ContainSubstring("Waiting until the pods"))
		Expect(output).To(ContainSubstring("You may now revoke"))
	})

	It("leaves the pods to a user who may not list them", func() {
		s := newScene()
		s.ready()
		s.newLoginIn("fresh")
		meta := metav1.ObjectMeta{Namespace: s.namespace, Name: "rotator"}
		Expect(admin.Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"jupicocredentials"},
			Verbs: []string{"get", "patch"},
		}}})).To(Succeed())
		Expect(admin.Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "rotator"}},
		})).To(Succeed())
		output, code := rotate(s, "--yes", "--as=rotator")
		Expect(code).To(Equal(3), output)
		Expect(output).To(ContainSubstring("The pods cannot be listed"))
		Expect(output).To(ContainSubstring("Once they have it, revoke the old credential and run the command again."))
		s.emulator.Revoke(s.login.username)
		output, code = rotate(s, "--yes", "--as=rotator")
		Expect(code).To(Equal(0), output)
		Expect(s.entryNames()).To(Equal("fresh"))
	})

	It("tells two keys of one Secret apart", func() {
		s := newScene()
		s.writeSource(map[string][]byte{"k1": []byte(s.newKey()), "k2": []byte(s.newKey())})
		s.create(apiKey, func(r *v1alpha1.JupicoCredential) { r.Spec.Credentials[0].APIKeySecretRef.Key = "k1" })
		s.expectReady("True", "Accepted")
		output, code := rotate(s, "--to-secret=source", "--key=k2", "--yes")
		Expect(code).To(Equal(0), output)
		Expect(output).To(ContainSubstring(`revoke the credential of entry "main" (Secret source, key k1) at Jupico.`))
		output, code = rotate(s, "--to-secret=source", "--yes")
		Expect(code).To(Equal(1), output)
		Expect(output).To(ContainSubstring("name the key of the new one with --key"))
	})

	It("goes on when others edit the resource at the same moment, and overwrites no edit", func() {
		s := newScene()
		s.ready()
		s.newLoginIn("fresh")
		server := s.editBeforePatches(func(patch int64) bool { return patch%2 == 1 })
		output, code := rotate(s, "--yes", "--server="+server)
		Expect(code).To(Equal(0), output)
		Expect(strings.Count(output, "payments was written at the same moment")).To(Equal(2), output)
		Expect(s.entryNames()).To(Equal("fresh,main"))
		Expect(s.get().Annotations).To(HaveKeyWithValue("edit", "3"))
		Expect(s.get().Spec.Credentials[1].BasicAuthSecretRef.PasswordKey).To(Equal("password"))
	})

	It("gives up in time when others write the resource all the time", func() {
		s := newScene()
		s.ready()
		s.newLoginIn("fresh")
		server := s.editBeforePatches(func(int64) bool { return true })
		output, code := rotate(s, "--yes", "--timeout=2s", "--server="+server)
		Expect(code).To(Equal(1), output)
		Expect(strings.Count(output, "payments was written at the same moment")).To(Equal(1), output)
		Expect(output).To(ContainSubstring("whenever payments was about to be changed, somebody wrote it"))
		Expect(s.entryNames()).To(Equal("main"))
	})

	It("says which request took too long", func() {
		s := newScene()
		s.ready()
		s.newLoginIn("fresh")
		output, code := rotate(s, "--yes")
		Expect(code).To(Equal(0), output)
		output, code = rotate(s, "--yes", "--request-timeout=1s", "--server="+hangAfterPatch())
		Expect(code).To(Equal(1), output)
		Expect(output).To(MatchRegexp("deadline exceeded|Client[.]Timeout exceeded"))
	})

	It("prints the manifests of its steps, which lead to the same", func() {
		s := newScene()
		s.ready()
		fresh := s.newLoginIn("fresh")
		output, code := rotate(s, "--dry-run=client")
		Expect(code).To(Equal(1), output)
		output, code = rotate(s, "--dry-run=client", "-o", "yaml")
		Expect(code).To(Equal(0), output)
		Expect(s.get().Generation).To(BeEquivalentTo(1))
		documents := strings.Split(output, "---\n")
		Expect(documents).To(HaveLen(3))
		apply := func(document string) {
			GinkgoHelper()
			manifest := &v1alpha1.JupicoCredential{}
			Expect(yaml.UnmarshalStrict([]byte(document), manifest)).To(Succeed())
			Expect(manifest.Namespace).To(Equal(s.namespace))
			s.edit(func(r *v1alpha1.JupicoCredential) { r.Spec = manifest.Spec })
		}
		apply(documents[0])
		s.expectCondition(v1alpha1.ConditionRedundant, "True", "BothAccepted")
		apply(documents[1])
		s.expectTarget(fresh.token())
		output, code = rotate(s, "--dry-run=client", "-o", "yaml")
		Expect(code).To(Equal(0), output)
		Expect(output).To(Equal(documents[2]))
		apply(documents[2])
		Expect(s.entryNames()).To(Equal("fresh"))
		Eventually(func() int64 { r := s.get(); return r.Generation - r.Status.ObservedGeneration }, soon, time.Millisecond).
			Should(BeZero())
		s.expectReady("True", "Accepted")
	})
})
