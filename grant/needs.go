package grant

// Users names the Secret with the users, where somebody may log in with a
// password; nil: nobody may. The spec need not have its defaults, nor be valid.
func (s *Spec) Users() *UsersSecretRef {
	if s.Password == nil || !s.has(GrantPassword) {
		return nil
	}
	return &s.Password.UsersSecretRef
}

// Exchanged are the service accounts whose tokens are exchanged; empty: those of
// none, and the cluster's keys are not needed. The spec need not be valid.
func (s *Spec) Exchanged() []ServiceAccount {
	if s.TokenExchange == nil || !s.has(GrantTokenExchange) {
		return nil
	}
	return s.TokenExchange.ServiceAccounts
}

// IsStateful reports whether the issuer remembers something between requests, in
// memory: attempts to log in, and refresh tokens. Two pods would each know half of
// it.
func (s *Spec) IsStateful() bool { return s.has(GrantPassword) || s.has(GrantRefreshToken) }
