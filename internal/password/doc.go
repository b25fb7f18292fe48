// Package password knows users and their hashed passwords, and verifies passwords
// without telling who is known, without being overrun, and without keeping any.
//
// Users come as lines of htpasswd, `name:hash`, the hash by bcrypt or argon2id. A file
// is taken whole or not at all. Everything that a line can ask for has a bound, because
// a hash is work that strangers may order.
//
// Every verification of one file does the same work, whoever is asked for: one hash for
// each kind of parameters that occurs in it, of which one at most is the user's own and
// the others, for an unknown user all, are dummies. A file whose users all have the same
// parameters costs one hash; Mixed says when it is more.
//
// A Hasher is how a process bounds all of that: so many hashes and so much memory at
// once, so many more that wait, and ErrBusy for the rest.
package password

import "errors"

// ErrWrong is all that a caller learns: no such user, or another password.
var ErrWrong = errors.New("wrong user name or password")

// ErrBusy says that too many passwords are being verified; the caller may try again
// in a second.
var ErrBusy = errors.New("too many passwords are being verified")

const (
	// MaxLength is how many bytes of a password are looked at; longer ones are wrong.
	// Where no user has a hash by argon2id it is MaxBcryptLength.
	MaxLength = 1024
	// MaxBcryptLength is how much bcrypt takes in; it would ignore the rest.
	MaxBcryptLength = 72
	// MaxFile, MaxLines and MaxKinds bound a file of users: its bytes, its lines, and
	// the kinds of parameters in it.
	MaxFile  = 1 << 20
	MaxLines = 10_000
	MaxKinds = 4
)
