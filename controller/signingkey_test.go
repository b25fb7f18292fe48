package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"gatepost.dev/gatepost/api/v1alpha1"
	"gatepost.dev/gatepost/internal/keyring"
	"gatepost.dev/gatepost/policy"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// steady is a key set with one active key.
func steady() keyView {
	return keyView{
		plans: true, exportName: "agent-jwt",
		plan: keyring.Result{Progress: keyring.Idle, State: &keyring.State{Keys: []keyring.Key{
			{KID: "1-active", Phase: keyring.Active, Published: noon, Activated: noon},
		}}},
	}
}

func TestConditionsOfASigningKey(t *testing.T) {
	t.Parallel()
	finding := func(kind keyring.FindingKind) func(*keyView) {
		return func(v *keyView) { v.plan.Findings = []keyring.Finding{{Kind: kind}} }
	}
	for sentence, test := range map[string]struct {
		change  func(*keyView)
		kind    string
		reason  string
		holds   bool
		message string
	}{
		"a key that signs is ready":       {func(*keyView) {}, "Ready", v1alpha1.ReasonReady, true, "1-active signs"},
		"and nothing else is under way":   {func(*keyView) {}, "Rotating", v1alpha1.ReasonIdle, false, ""},
		"and nobody has to look":          {func(*keyView) {}, "Degraded", v1alpha1.ReasonHealthy, false, ""},
		"a spec that is refused is named": {func(v *keyView) { v.refused = refusal{v1alpha1.ReasonUnsafeRotation, "spec.rotation"} }, "Ready", v1alpha1.ReasonUnsafeRotation, false, "spec.rotation"},
		"a state of somebody else's":      {func(v *keyView) { v.state = refusal{v1alpha1.ReasonStateConflict, "delete it"} }, "Ready", v1alpha1.ReasonStateConflict, false, "delete it"},
		"an import that failed":           {func(v *keyView) { v.imported.problem = refusal{v1alpha1.ReasonSecretTooShort, "x"} }, "Ready", v1alpha1.ReasonSecretTooShort, false, "x"},
		"a line break is a warning":       {func(v *keyView) { v.imported.warning = "ends in a line break" }, "Ready", v1alpha1.ReasonReady, true, "warning: ends in a line break"},
		"before the first key signs":      {func(v *keyView) { v.plan.State.Keys = nil }, "Ready", v1alpha1.ReasonNoActiveKey, false, ""},
		"after the active key was revoked": {func(v *keyView) {
			v.plan.State = &keyring.State{Revoked: []keyring.Revocation{{KID: "1-active"}}}
		}, "Ready", v1alpha1.ReasonActiveKeyRevoked, false, ""},
		"a lost state":               {finding(keyring.StateLost), "Ready", v1alpha1.ReasonStateLost, false, "revoke that key"},
		"a revoked value came back":  {finding(keyring.SecretRevoked), "Ready", v1alpha1.ReasonSecretRevoked, false, "put another"},
		"an old state came back":     {finding(keyring.Regressed), "Degraded", v1alpha1.ReasonRegressed, true, "restored"},
		"too many keys":              {finding(keyring.TooManyLiveKeys), "Degraded", v1alpha1.ReasonTooManyLiveKeys, true, "retireAfter"},
		"an old key that is used on": {finding(keyring.RetiredKeyStillUsed), "Degraded", v1alpha1.ReasonRetiredKeyStillUsed, true, "restart the signers"},
		"nothing to revoke":          {finding(keyring.UnknownKeyToRevoke), "Degraded", v1alpha1.ReasonUnknownKeyToRevoke, true, "status.keys"},
		"an export of somebody else's": {
			func(v *keyView) { v.exportForeign = true }, "Degraded", v1alpha1.ReasonExportConflict, true, "Secret agent-jwt is not",
		},
		"a key on its way into bundles": {func(v *keyView) {
			v.plan.Progress = keyring.PrePublishing
			v.plan.State.Keys = append(v.plan.State.Keys, keyring.Key{KID: "2-next", Phase: keyring.Published})
		}, "Rotating", v1alpha1.ReasonPrePublishing, true, "2-next is on its way"},
		"a key that waits for its time": {func(v *keyView) {
			v.plan.Progress = keyring.PrePublishing
			v.plan.State.Keys = append(v.plan.State.Keys, keyring.Key{KID: "2-next", Phase: keyring.Published, Published: noon})
		}, "Rotating", v1alpha1.ReasonPrePublishing, true, "accepted since 2026-11-22T12:00:00Z"},
		"a key on its way out": {func(v *keyView) {
			v.plan.Progress, v.plan.Removal = keyring.WaitingForRetiring, map[string]time.Time{"1-active": noon}
		}, "Rotating", v1alpha1.ReasonRetiring, true, "1-active until 2026-11-22T12:00:00Z"},
		"a suspended schedule": {func(v *keyView) { v.plan.Progress = keyring.Suspended }, "Rotating", v1alpha1.ReasonSuspended, false, ""},
		"without a plan":       {func(v *keyView) { v.plan = keyring.Result{} }, "Rotating", v1alpha1.ReasonIdle, false, ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			view := steady()
			test.change(&view)
			got := find(t, view.conditions(), test.kind)
			if got.reason != test.reason || (got.status == metav1.ConditionTrue) != test.holds {
				t.Errorf("got %s/%s, want %t/%s", got.status, got.reason, test.holds, test.reason)
			}
			if !strings.Contains(got.message, test.message) {
				t.Errorf("message %q does not contain %q", got.message, test.message)
			}
		})
	}
}

func TestASpecThatIsRefusedLetsTheSetLiveOnSafely(t *testing.T) {
	t.Parallel()
	bounds := keyring.Bounds{MinPrePublish: 2 * time.Minute, RetireMargin: 2 * time.Minute, ClockSkew: 10 * time.Second}
	no := false
	key := &v1alpha1.SigningKey{Spec: v1alpha1.SigningKeySpec{
		Algorithm: "HS256", Signer: v1alpha1.SignerExternal, MaxTokenLifetime: &policy.Duration{Duration: time.Hour},
		Rotation: v1alpha1.Rotation{WaitForVerifiers: &no, RetireAfter: &policy.Duration{Duration: time.Hour}, PrePublish: &policy.Duration{Duration: time.Second}},
	}}
	got := refuseSpec(key, bounds)
	if got.reason != v1alpha1.ReasonUnsafeRotation || !strings.HasPrefix(got.message, "spec.rotation.retireAfter is 1h0m0s: set it to at least 1h2m10s") {
		t.Errorf("refusal %+v", got)
	}
	held := keyring.Safe(keySpec(key), bounds)
	if err := keyring.Check(held, bounds); err != nil || !held.Suspend || held.WaitForVerifiers {
		t.Errorf("held back to %+v: %v", held, err)
	}
	key.Spec.Rotation = v1alpha1.Rotation{WaitForVerifiers: &no}
	if got := refuseSpec(key, bounds); got != (refusal{}) {
		t.Errorf("the defaults are refused: %+v", got)
	}
}

func TestTheLargestSkewOfAllVerifiersCounts(t *testing.T) {
	t.Parallel()
	with := func(skew *policy.Duration, key string) v1alpha1.AgentAuthPolicy {
		var p v1alpha1.AgentAuthPolicy
		p.Spec.JWT = &policy.JWT{Providers: []policy.Provider{{ClockSkew: skew, SigningKeyRef: &policy.SigningKeyRef{Name: key}}}}
		return p
	}
	none, minute := &policy.Duration{}, &policy.Duration{Duration: time.Minute}
	for sentence, test := range map[string]struct {
		policies []v1alpha1.AgentAuthPolicy
		want     time.Duration
	}{
		"no policy: the default":           {nil, 10 * time.Second},
		"another key's policy is not ours": {[]v1alpha1.AgentAuthPolicy{with(minute, "other")}, 10 * time.Second},
		"unset is the default":             {[]v1alpha1.AgentAuthPolicy{with(nil, "k")}, 10 * time.Second},
		"none is none":                     {[]v1alpha1.AgentAuthPolicy{with(none, "k")}, 0},
		"the largest wins":                 {[]v1alpha1.AgentAuthPolicy{with(none, "k"), with(minute, "k"), with(nil, "k")}, time.Minute},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			if got := largestSkew(test.policies, "k"); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// A key counts as distributed only when every bundle that needs it holds it and
// every pod under it was told.
func TestDistribution(t *testing.T) {
	t.Parallel()
	state := &keyring.State{Generation: 5, Keys: []keyring.Key{{KID: "4-a", Generation: 4}, {KID: "5-b", Generation: 5}}}
	held := []keyring.VerifyKey{{KID: "4-a"}, {KID: "5-b"}}
	for sentence, test := range map[string]struct {
		carriers []carrier
		want     int64
	}{
		"no bundle needs it: everywhere":               {nil, keyring.Everywhere},
		"held and told":                                {[]carrier{{generation: 5, keys: held}}, 5},
		"the slowest bundle counts":                    {[]carrier{{generation: 5, keys: held}, {generation: 4, keys: held[:1]}}, 4},
		"a pod that was not told does not have it":     {[]carrier{{generation: 5, keys: held, untold: []string{"chat-0"}}}, 0},
		"a bundle of an earlier object does not count": {[]carrier{{generation: 12, keys: []keyring.VerifyKey{{KID: "9-z"}}}}, 3},
		"a bundle that will refer to it has nothing":   {[]carrier{{}}, 0},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			if got := distributed(test.carriers, state, false); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestWhatIsImported(t *testing.T) {
	t.Parallel()
	key := &v1alpha1.SigningKey{Spec: v1alpha1.SigningKeySpec{Algorithm: "HS256", Source: v1alpha1.KeySource{
		Type: v1alpha1.SourceSecretRef, SecretRef: &v1alpha1.ImportRef{Name: "s", Key: "now", NextKey: "next"},
	}}}
	lenient := key.DeepCopy()
	lenient.Spec.Source.AllowShortSecret = true
	for sentence, test := range map[string]struct {
		key        *v1alpha1.SigningKey
		data       map[string][]byte
		now, next  string
		reason     string
		wantNotice bool
	}{
		"both values":                {key, map[string][]byte{"now": []byte(goodSecret), "next": []byte(otherSecret)}, goodSecret, otherSecret, "", false},
		"no next value":              {key, map[string][]byte{"now": []byte(goodSecret)}, goodSecret, "", "", false},
		"no Secret":                  {key, nil, "", "", v1alpha1.ReasonSecretNotFound, false},
		"no such data key":           {key, map[string][]byte{"next": []byte(goodSecret)}, "", "", v1alpha1.ReasonSecretKeyNotFound, false},
		"an empty value":             {key, map[string][]byte{"now": {}}, "", "", v1alpha1.ReasonSecretTooShort, false},
		"a short value":              {key, map[string][]byte{"now": []byte("short")}, "", "", v1alpha1.ReasonSecretTooShort, false},
		"a short value that is fine": {lenient, map[string][]byte{"now": []byte("short")}, "short", "", "", false},
		"a PEM":                      {lenient, map[string][]byte{"now": []byte("-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n")}, "", "", v1alpha1.ReasonSecretLooksLikeKey, false},
		"a bad next value":           {key, map[string][]byte{"now": []byte(goodSecret), "next": []byte("short")}, goodSecret, "", v1alpha1.ReasonSecretTooShort, false},
		"a line break at the end":    {key, map[string][]byte{"now": []byte(goodSecret + "\n")}, goodSecret + "\n", "", "", true},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			var secret *corev1.Secret
			if test.data != nil {
				secret = &corev1.Secret{Data: test.data}
			}
			got := importFrom(test.key, secret)
			if string(got.values.Current) != test.now || string(got.values.Next) != test.next {
				t.Errorf("values %q, %q", []byte(got.values.Current), []byte(got.values.Next))
			}
			if got.problem.reason != test.reason || (got.warning != "") != test.wantNotice {
				t.Errorf("problem %+v, warning %q", got.problem, got.warning)
			}
			if strings.Contains(got.problem.message+got.warning, "short\"") || strings.Contains(got.problem.message, goodSecret) {
				t.Error("a value is in a message")
			}
		})
	}
}

func TestWhatIsExported(t *testing.T) {
	t.Parallel()
	hmac := keyring.Export{Current: []byte("c"), CurrentKID: "2-c", Previous: []byte("p"), PreviousKID: "1-p", JWKS: []byte(`{"keys":[]}`)}
	want := map[string][]byte{
		"current": []byte("c"), "current.kid": []byte("2-c"), "previous": []byte("p"), "previous.kid": []byte("1-p"), "JWT_SECRET": []byte("c"),
	}
	if diff := cmp.Diff(want, exportData(hmac, "HS256", "JWT_SECRET")); diff != "" {
		t.Errorf("HMAC (-want +got):\n%s", diff)
	}
	if got := exportData(keyring.Export{}, "HS256", "JWT_SECRET"); len(got) > 0 {
		t.Errorf("a set without a key that signs exports %v", got)
	}
	public := keyring.Export{Current: []byte("pem"), CurrentKID: "1-a", JWKS: []byte(`{"keys":[{}]}`)}
	if got := exportData(public, "ES256", ""); string(got["jwks.json"]) != `{"keys":[{}]}` || len(got) != 3 {
		t.Errorf("ES256 exports %v", got)
	}
}

func TestWhenToLookAgain(t *testing.T) {
	t.Parallel()
	at := func(wake time.Time, keys ...keyring.Key) keyView {
		return keyView{plan: keyring.Result{Wake: wake, State: &keyring.State{Keys: keys}}}
	}
	settledKey := keyring.Key{Published: noon}
	for sentence, test := range map[string]struct {
		view keyView
		want time.Duration
	}{
		"nothing planned: when something changes": {keyView{}, 0},
		"nothing to wait for":                     {at(time.Time{}, settledKey), 0},
		"at the planner's time":                   {at(noon.Add(time.Hour), settledKey), time.Hour},
		"a time that has passed is now":           {at(noon.Add(-time.Second), settledKey), time.Millisecond},
		"often while a new key travels":           {at(noon.Add(time.Hour), keyring.Key{Created: noon}), arrivalPause},
		"less often when it travels for long":     {at(time.Time{}, keyring.Key{Created: noon.Add(-time.Hour)}), slowArrivalPause},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			if got := test.view.again(noon); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
