package v1alpha1_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatepost.dev/gatepost/api/v1alpha1"
)

func TestSigningKeysAreAdmitted(t *testing.T) {
	t.Parallel()
	runAdmissions(t, "signingkeys", v1alpha1.KindSigningKey, map[string]admission{
		"an empty spec is a generated ES256 key": {yaml: `{}`},
		"the longest name fits the Secrets that are named after it": {
			yaml: "name: " + strings.Repeat("k", 52) + "\n{}",
		},
		"a name of 53 characters is refused": {
			yaml:    "name: " + strings.Repeat("k", 53) + "\n{}",
			refused: "metadata.name may have at most 52 characters",
		},
		"an algorithm that nobody knows is refused": {
			yaml: `algorithm: none`, refused: `Unsupported value: "none"`,
		},
		"the algorithm cannot be changed": {
			before: `algorithm: HS256`, yaml: `algorithm: HS512`,
			refused: "algorithm is immutable: create another SigningKey",
		},
		"the algorithm cannot be changed to the default by leaving it out": {
			before: `algorithm: HS256`, yaml: `{}`, refused: "algorithm is immutable",
		},
		"rotation can be changed": {
			before: `algorithm: HS256`, yaml: `{algorithm: HS256, rotation: {interval: 720h}}`,
		},
		"a Laravel secret can be imported, with the value that comes next": {
			yaml: `{algorithm: HS256, source: {type: SecretRef, secretRef: {name: laravel-jwt, key: JWT_SECRET, nextKey: JWT_SECRET_NEXT}, allowShortSecret: true}}`,
		},
		"an empty nextKey is none": {
			yaml: `{algorithm: HS256, source: {type: SecretRef, secretRef: {name: laravel-jwt, key: JWT_SECRET, nextKey: ""}}}`,
		},
		"type SecretRef without a reference is refused": {
			yaml: `{algorithm: HS256, source: {type: SecretRef}}`, refused: "secretRef must be set when type is SecretRef, and only then",
		},
		"a reference on a generated key is refused": {
			yaml: `{algorithm: HS256, source: {secretRef: {name: a, key: b}}}`, refused: "secretRef must be set when type is SecretRef, and only then",
		},
		"an imported key that is not HMAC is refused": {
			yaml: `{source: {type: SecretRef, secretRef: {name: a, key: b}}}`, refused: "source.type SecretRef imports HMAC secrets",
		},
		"allowShortSecret on a generated key is refused": {
			yaml: `{algorithm: HS256, source: {allowShortSecret: true}}`, refused: "allowShortSecret is about imported secrets",
		},
		"a next key equal to the key is refused": {
			yaml: `{algorithm: HS256, source: {type: SecretRef, secretRef: {name: a, key: b, nextKey: b}}}`, refused: "nextKey must differ from key",
		},
		"importing from a state Secret is refused": {
			yaml:    `{algorithm: HS256, source: {type: SecretRef, secretRef: {name: other.gatepost-state, key: b}}}`,
			refused: "name may not end in .gatepost-state, .gatepost-bundle or .gatepost-issuer",
		},
		"a key can be exported under a name of the user's": {
			yaml: `{algorithm: HS256, exportTo: {secretName: agent-jwt, valueKey: JWT_SECRET, annotations: {reloader.stakater.com/match: "true"}}}`,
		},
		"export with an issuer is refused": {
			yaml: `{signer: Issuer, exportTo: {secretName: agent-jwt}}`, refused: "exportTo is for signer: External",
		},
		"export onto a state Secret is refused": {
			yaml: `{exportTo: {secretName: example.gatepost-state}}`, refused: "secretName may not end in .gatepost-state, .gatepost-bundle or .gatepost-issuer",
		},
		"export onto a bundle is refused": {
			yaml: `{exportTo: {secretName: example.gatepost-bundle}}`, refused: "secretName may not end in .gatepost-state, .gatepost-bundle or .gatepost-issuer",
		},
		"export onto the imported Secret is refused": {
			yaml:    `{algorithm: HS256, source: {type: SecretRef, secretRef: {name: a, key: b}}, exportTo: {secretName: a}}`,
			refused: "exportTo.secretName must differ from source.secretRef.name",
		},
		"a value key that is always there is refused": {
			yaml: `{exportTo: {secretName: a, valueKey: current.kid}}`, refused: "valueKey may not be current, previous",
		},
		"annotations of ours on the exported Secret are refused": {
			yaml: `{exportTo: {secretName: a, annotations: {gatepost.dev/rotate-now: "1"}}}`, refused: "annotations may not begin with gatepost.dev/",
		},
		"an annotation of 5000 characters is refused": {
			yaml: `{exportTo: {secretName: a, annotations: {note: ` + strings.Repeat("x", 5000) + `}}}`, refused: "values of up to 4096 characters",
		},
		"an old key must outlive its tokens": {
			yaml: `{maxTokenLifetime: 15m, rotation: {retireAfter: 899s}}`, refused: "must be at least maxTokenLifetime",
		},
		"an old key may be kept exactly as long as its tokens live": {
			yaml: `{maxTokenLifetime: 15m, rotation: {retireAfter: 900s}}`,
		},
		"the default overlap of an external signer covers tokens of a day": {
			yaml: `{maxTokenLifetime: 24h}`,
		},
		"tokens longer than the default overlap of an external signer are refused": {
			yaml: `{maxTokenLifetime: 25h}`, refused: "default 24h for signer External",
		},
		"tokens longer than the default overlap of an issuer are refused": {
			yaml: `{signer: Issuer, maxTokenLifetime: 21m}`, refused: "20m for Issuer",
		},
		"keys may not come faster than they go": {
			yaml: `{rotation: {interval: 30m, prePublish: 10m, retireAfter: 20m}}`, refused: "rotation.interval must be longer than rotation.prePublish + rotation.retireAfter",
		},
		"an interval just longer than a key's way in and out is accepted": {
			yaml: `{rotation: {interval: 1801s, prePublish: 10m, retireAfter: 20m}}`,
		},
		"an interval shorter than the default overlap is refused": {
			yaml: `{rotation: {interval: 24h}}`, refused: "rotation.interval must be longer",
		},
		"a rotation of seconds, as demonstrations use it": {
			yaml: `{algorithm: HS256, maxTokenLifetime: 5s, rotation: {interval: 40s, prePublish: 10s, retireAfter: 20s, waitForVerifiers: false}}`,
		},
		"a lifetime of nothing is refused": {
			yaml: `{maxTokenLifetime: 0s}`, refused: "maxTokenLifetime must be between 1s and 8760h",
		},
		"a duration without a unit is refused": {
			yaml: `{maxTokenLifetime: "900"}`, refused: "spec.maxTokenLifetime",
		},
		"a number is no duration": {
			yaml: `{maxTokenLifetime: 900}`, refused: `must be of type string: "integer"`,
		},
		"a duration that the controller could not read is refused": {
			yaml: `{rotation: {verifierTimeout: 99999999999h}}`, refused: "a duration is written like 90s, 10m or 720h",
		},
		"a verifier timeout of a year is refused": {
			yaml: `{rotation: {verifierTimeout: 8760h}}`, refused: "verifierTimeout must be at most 720h",
		},
		"an unknown field is noticed": {
			yaml: `{rotation: {retireafter: 20m}}`, refused: "unknown field",
		},
	})
}

// A SigningKey with nothing in it is a complete one.
func TestSigningKeyDefaults(t *testing.T) {
	t.Parallel()
	empty := object(t, v1alpha1.KindSigningKey, `{}`)
	if errs := readCRD(t, "signingkeys").admit(t.Context(), empty, nil); len(errs) > 0 {
		t.Fatal(errs)
	}
	got, err := json.Marshal(empty["spec"])
	if err != nil {
		t.Fatal(err)
	}
	want := `{"algorithm":"ES256","maxTokenLifetime":"15m",` +
		`"rotation":{"onTimeout":"Wait","prePublish":"10m","suspend":false,"verifierTimeout":"1h","waitForVerifiers":true},` +
		`"signer":"External","source":{"allowShortSecret":false,"type":"Generated"}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var spec v1alpha1.SigningKeySpec
	if err := json.Unmarshal(got, &spec); err != nil {
		t.Errorf("the controller cannot read what the API server stores: %v", err)
	}
}
