package issuer

import (
	"encoding/json"
	"fmt"
	"net/http"

	"gatepost.dev/gatepost/grant"
	"gatepost.dev/gatepost/internal/issuing"
)

// metadata is RFC 8414 section 2. With the last three members it is that of OpenID
// Connect Discovery section 3 too, as far as somebody who only verifies tokens
// looks.
type metadata struct {
	Issuer        string   `json:"issuer"`
	TokenEndpoint string   `json:"token_endpoint"`
	JWKSURI       string   `json:"jwks_uri"`
	ResponseTypes []string `json:"response_types_supported"`
	GrantTypes    []string `json:"grant_types_supported"`
	AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`
	SubjectTypes  []string `json:"subject_types_supported,omitempty"`
	IDTokenAlgs   []string `json:"id_token_signing_alg_values_supported,omitempty"`
	Claims        []string `json:"claims_supported,omitempty"`
}

// documentsOf are the documents of an issuer, written once.
func documentsOf(loaded *issuing.Snapshot) (map[endpoint][]byte, error) {
	spec := loaded.Plan.Spec()
	at := grant.EndpointsOf(spec.Issuer)
	about := metadata{
		Issuer: spec.Issuer, TokenEndpoint: at.Token, JWKSURI: at.JWKS,
		ResponseTypes: []string{}, GrantTypes: []string{}, AuthMethods: authMethods(loaded.Plan),
	}
	for _, g := range spec.Grants {
		if name := g.Type(); name != "" {
			about.GrantTypes = append(about.GrantTypes, name)
		}
	}
	oauthText, err := json.Marshal(about)
	if err != nil {
		return nil, fmt.Errorf("writing metadata: %w", err)
	}
	about.SubjectTypes, about.IDTokenAlgs = []string{"public"}, []string{loaded.Signer.Algorithm}
	about.Claims = []string{"iss", "sub", "aud", "exp", "iat", "jti"}
	openIDText, err := json.Marshal(about)
	if err != nil {
		return nil, fmt.Errorf("writing metadata: %w", err)
	}
	return map[endpoint][]byte{toOAuth: oauthText, toOpenID: openIDText, toJWKS: loaded.JWKS}, nil
}

// authMethods are the ways in which clients authenticate at /token.
func authMethods(plan *grant.Plan) []string {
	var methods []string
	if plan.Spec().Clients != nil {
		methods = append(methods, "client_secret_basic", "client_secret_post")
	}
	if methods == nil || plan.Offers(grant.GrantPassword) || plan.Offers(grant.GrantTokenExchange) {
		methods = append(methods, "none")
	}
	return methods
}

// answerDocument answers with keys or metadata. A verifier may keep them for less
// than a rotation needs to publish a key.
func (x *exchange) answerDocument() {
	h := x.w.Header()
	h["Cache-Control"] = []string{"public, max-age=10"}
	x.send(http.StatusOK, x.in.documents[x.to])
}
