// Copyright The jupico-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/jupico-operator/jupico-operator/api/v1alpha1"
)

// mountDelay is the longest that a kubelet takes to look at the volumes of a pod again.
const mountDelay = 90 * time.Second

// clockAllowance is how far the clock of the user may be ahead of that of the operator.
const clockAllowance = time.Minute

// rotator carries out a rotation.
type rotator struct {
	*cli
	rotation

	cluster  client.Client
	resource *v1alpha1.JupicoCredential // as it was read last
	// delivered is when this run saw the new token arrive in the target. It is zero if the target held it before.
	delivered time.Time
	timeout   time.Duration
	isAgreed  bool
	dryRun    string // client, or nothing
	output    string // of a dry run
}

func (c *cli) newRotateCommand() *cobra.Command {
	r := &rotator{cli: c, timeout: 5 * time.Minute}
	command := &cobra.Command{
		Use:   "rotate NAME --to-secret SECRET",
		Short: "Replace the credential by that of another Secret, without a rejected call",
		Long: "Replace the credential by that of another Secret, without a rejected call. It becomes the standby, is " +
			"proven, and then becomes the active one. You revoke the old credential when the command says so, and run it " +
			"again to remove the old entry. If it is stopped, run it again: it goes on from where the resource is.\n\n" +
			"The new Secret must be of the same kind as the old one, a login or an API key, and have the same keys. Only that " +
			"of an API key may differ: name it with --key. From a login to an API key, change the entries by hand.\n\n" +
			"If there is a standby already, put the new credential into the Secret of the one that you replace; or rotate to " +
			"the standby's Secret, and add a new standby afterwards.\n\n" +
			"The exit code is 0 if all was done that could be, 2 if the new credential cannot be used, 3 if the command has " +
			"to be run again before you revoke anything, and 1 after an error.",
		Example: "  kubectl jupico rotate payments --to-secret jupico-login-2 -n shop\n" +
			"  kubectl jupico rotate payments --to-secret jupico-login-2 --dry-run=client -o yaml",
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			r.name = args[0]
			return r.run(command.Context())
		},
	}
	flags := command.Flags()
	flags.StringVar(&r.secret, "to-secret", "", "The Secret with the new credential.")
	flags.StringVar(&r.key, "key", "", "The key of that Secret that holds the API key. When left out, as in the old one.")
	flags.DurationVar(&r.timeout, "timeout", r.timeout, "How long to wait for each step.")
	flags.BoolVar(&r.isAgreed, "yes", false, "Do not ask before the first change.")
	flags.StringVar(&r.dryRun, "dry-run", "", "client: change nothing, and print the manifests of the steps to come.")
	flags.StringVarP(&r.output, "output", "o", "", "yaml: the format of these manifests.")
	_ = command.MarkFlagRequired("to-secret") // it exists
	command.MarkFlagsRequiredTogether("dry-run", "output")
	return command
}

func (r *rotator) run(ctx context.Context) error {
	if r.dryRun != "" && (r.dryRun != "client" || r.output != "yaml") {
		return errors.New("a dry run is --dry-run=client -o yaml")
	}
	cluster, namespace, err := r.connect()
	if err != nil {
		return err
	}
	r.cluster, r.resource = cluster, &v1alpha1.JupicoCredential{}
	r.resource.Namespace, r.resource.Name = namespace, r.name
	if err := reread(ctx, cluster, r.resource); err != nil {
		return err
	}
	next, entry, err := r.next(r.resource)
	switch {
	case err != nil:
		return err
	case next == stepDone:
		_, err := fmt.Fprintf(r.ErrOut, "%s/%s uses Secret %s alone: there is nothing to do.\n", namespace, r.name, r.secret)
		return err
	case r.dryRun != "":
		text, err := manifests(r.resource, entry, next)
		r.printf("%s", text)
		return err
	}
	r.printf("%s", plan(r.resource, entry, next))
	if err := r.agree(ctx); err != nil {
		return err
	}
	if next != stepAdd {
		// Since the last check, the new Secret may have been corrected, or the old credential revoked.
		r.printf("Checking the credentials now ...\n")
		if err := r.orLater(haveChecked(ctx, cluster, r.resource, r.timeout)); err != nil {
			return err
		}
	}
	return r.goOn(ctx)
}

// agree asks the user, once, before anything is changed.
func (r *rotator) agree(ctx context.Context) error {
	if r.isAgreed {
		return nil
	}
	if file, isFile := r.In.(*os.File); !isFile || !term.IsTerminal(int(file.Fd())) {
		return errors.New("there is no terminal to ask at, so nothing was changed: to go on without a question, add --yes")
	}
	r.printf("Go on? [y/N] ")
	answers := make(chan string, 1)
	go func() { // it ends with the program
		line, _ := bufio.NewReader(r.In).ReadString('\n')
		answers <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case answer := <-answers:
		if answer != "y" && answer != "yes" {
			return errors.New("nothing was changed")
		}
		return nil
	}
}

// goOn makes one step after the other.
func (r *rotator) goOn(ctx context.Context) error {
	for made := map[step]bool{}; ; {
		var next step
		var entry, old v1alpha1.Credential
		var conflict error
		err := poll(ctx, r.timeout, func() (bool, error) {
			var err error
			if next, entry, old, err = r.changeNext(ctx, made); !apierrors.IsConflict(err) {
				conflict = nil
				return err == nil, err
			}
			if conflict == nil {
				r.printf("  %s was written at the same moment, perhaps by the operator: trying again\n", r.name)
			}
			conflict = err
			return false, nil
		})
		switch {
		case errors.Is(err, errTimeUp):
			return fmt.Errorf("whenever %s was about to be changed, somebody wrote it: find out who, and run the command "+
				"again: %w", r.name, conflict)
		case err != nil:
			return err
		}
		if isOver, err := r.carryOut(ctx, next, entry, old); isOver || err != nil {
			return err
		}
	}
}

// changeNext reads the resource again, makes the next step if that changes the entries, and returns the step to carry
// out then.
func (r *rotator) changeNext(
	ctx context.Context, made map[step]bool,
) (next step, entry, old v1alpha1.Credential, err error) {
	if err = reread(ctx, r.cluster, r.resource); err != nil {
		return next, entry, old, err
	}
	if next, entry, err = r.next(r.resource); err != nil {
		return next, entry, old, err
	}
	old = oldEntry(r.resource, entry)
	switch {
	case made[next]: // never twice, or this command and a GitOps tool would go on for ever
		err = fmt.Errorf("somebody has undone what was changed in %s: see who else manages it, and --dry-run", r.name)
	case next.changes():
		if err = r.change(ctx, next, entry, old); err == nil {
			made[next] = true
			next++ // what was changed has to arrive, or all is done
		}
	}
	return next, entry, old, err
}

// carryOut makes a step that changes nothing, and reports whether there is nothing more to do for now.
func (r *rotator) carryOut(ctx context.Context, s step, entry, old v1alpha1.Credential) (isOver bool, _ error) {
	switch s {
	case stepProve:
		return false, r.await(ctx, entry, "Jupico accepts the credential in Secret "+r.secret,
			fmt.Sprintf("Nothing was swapped: %q stays the first entry. Correct Secret %s and run the command again, or take "+
				"the standby out:\n  kubectl patch jcred %s -n %s --type=json "+
				"-p '[{\"op\":\"remove\",\"path\":\"/spec/credentials/1\"}]'", old.Name, r.secret, r.name, r.resource.Namespace),
			r.isBeyond(s))
	case stepDeliver:
		err := r.await(ctx, entry, fmt.Sprintf("Secret %s holds the new token", r.resource.Spec.Target.Name),
			r.correct(), r.isBeyond(s))
		r.delivered = time.Now()
		return false, err
	case stepPods:
		isSafe, err := r.awaitPods(ctx, entry)
		if isSafe {
			r.printf("You may now revoke the credential of %s at Jupico.\n"+
				"After that, run the command again: it removes entry %q.\n", whereabouts(old, entry), old.Name)
		}
		return isSafe, err
	default:
		r.printf("The rotation is done: Secret %s is the only source.\n", r.secret)
		return true, nil
	}
}

// change makes a step that changes the entries. If somebody has written the resource since it was read, it returns a
// conflict, and changes nothing.
func (r *rotator) change(ctx context.Context, s step, entry, old v1alpha1.Credential) error {
	changed := r.resource.DeepCopy()
	changed.Spec.Credentials = entriesAfter(s, entry, old)
	err := r.cluster.Patch(ctx, changed, client.MergeFromWithOptions(r.resource, client.MergeFromWithOptimisticLock{}))
	switch {
	case err != nil:
		return err
	case s == stepAdd:
		r.printf("Added Secret %s as the standby, entry %q.\n", r.secret, entry.Name)
	case s == stepSwap:
		r.printf("Swapped the entries: %q is the first now.\n", entry.Name)
	case s == stepRemove:
		r.printf("Removed the old entry, %q, which Jupico no longer accepts.\n", old.Name)
		_, _ = r.printPods(ctx, r.cluster, r.resource, startMargin) // who revokes first, in an emergency, has to restart some
	}
	return nil
}

// isBeyond asks whether a step is no longer the next one, be it because somebody else has changed the resource.
func (r *rotator) isBeyond(s step) func() bool {
	return func() bool {
		next, _, err := r.next(r.resource)
		return err != nil || next != s
	}
}

func (r *rotator) correct() string {
	return fmt.Sprintf("Revoke nothing. Correct Secret %s and run the command again.", r.secret)
}

// await reads the resource until something is so, or the new entry cannot be used. It says what holds it up.
func (r *rotator) await(
	ctx context.Context, entry v1alpha1.Credential, what, advice string, isSo func() bool,
) error {
	r.printf("Waiting until %s ...\n", what)
	said := ""
	err := poll(ctx, r.timeout, func() (bool, error) {
		if err := reread(ctx, r.cluster, r.resource); err != nil || isSo() {
			return true, err
		}
		if problem := r.problem(r.resource, entry.Name); problem != "" {
			r.printf("%s\n%s\n", problem, advice)
			return false, exitError(exitRejected)
		}
		record := recordOf(r.resource, entry.Name)
		if record.Verdict == v1alpha1.VerdictUnknown && !slices.Contains(
			[]string{"", v1alpha1.ReasonChecking, said}, record.Reason) {
			said = record.Reason
			r.printf("  %s: it is tried again\n", said)
		}
		return false, nil
	})
	return r.orLater(err)
}

// orLater tells a wait that took too long from an error.
func (r *rotator) orLater(err error) error {
	if !errors.Is(err, errTimeUp) {
		return err
	}
	r.printConditions(r.resource, v1alpha1.ConditionReady, v1alpha1.ConditionEndpointAvailable)
	r.printf("That has taken longer than %s. Run the command again, and it goes on from here. Revoke nothing yet.\n",
		r.timeout)
	return exitError(exitUnknown)
}

// awaitPods reports whether all pods have the new token. If they had to be waited for, it has to be asked again.
func (r *rotator) awaitPods(ctx context.Context, entry v1alpha1.Credential) (isSafe bool, _ error) {
	if problem := r.problem(r.resource, entry.Name); problem != "" {
		r.printf("%s\n%s\n", problem, r.correct())
		return false, exitError(exitRejected)
	}
	workloads, err := r.printPods(ctx, r.cluster, r.resource, startMargin)
	if err != nil {
		r.printf("Make sure that the pods have the new token before you revoke the old one.\n" +
			"Once they have it, revoke the old credential and run the command again.\n")
		return false, exitError(exitUnknown)
	}
	mounts, restarts := false, false
	for _, w := range workloads {
		mounts, restarts = mounts || w.mounts, restarts || w.restart > 0
	}
	switch {
	case restarts:
		r.printf("Restart these pods, and run the command again. Revoke nothing yet.\n")
		return false, exitError(exitUnknown)
	case mounts && !r.haveFollowed():
		beyond := r.isBeyond(stepPods)
		return false, r.await(ctx, entry, "the pods that mount it see the new token", r.correct(),
			func() bool { return beyond() || r.haveFollowed() })
	default:
		return true, nil
	}
}

// haveFollowed reports whether all pods that mount the target have had the time to see the new token.
func (r *rotator) haveFollowed() bool {
	if r.delivered.IsZero() {
		return time.Since(writtenAt(r.resource)) >= mountDelay+clockAllowance
	}
	return time.Since(r.delivered) >= mountDelay
}
