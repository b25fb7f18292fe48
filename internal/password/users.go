package password

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"unicode/utf8"
)

// Users are names with their hashes. They do not change; a nil or zero Users knows
// nobody.
type Users struct {
	byName map[string]user
	kinds  []kind // all that occur, in the order of the file
}

// user is the hash of one user, made with parameters of one kind.
type user struct {
	kind int
	hash hash
}

// Len is how many users there are.
func (u *Users) Len() int {
	if u == nil {
		return 0
	}
	return len(u.byName)
}

// Mixed names the kinds of parameters in the file if there is more than one, to be
// told to whoever keeps the file: each verification then computes a hash of each.
func (u *Users) Mixed() []string {
	if u == nil || len(u.kinds) < 2 {
		return nil
	}
	var names []string
	for _, kind := range u.kinds {
		names = append(names, kind.String())
	}
	return names
}

// Mark changes when the user's password does. It ends what an old password began, such
// as a family of refresh tokens; it must not leave the process. Unknown users have none.
func (u *Users) Mark(name string) (mark [32]byte, known bool) {
	if u == nil {
		return mark, false
	}
	found, known := u.byName[name]
	if !known {
		return mark, false
	}
	return sha256.Sum256([]byte(name + "\x00" + found.hash.text)), true
}

// Parse reads lines of htpasswd. Empty lines and those that begin with # are passed
// over; anything that is not understood is an error that names its line and the fix,
// never what stands there. With errors there are no users.
func Parse(data []byte) (*Users, []error) {
	if len(data) > MaxFile {
		return nil, []error{fmt.Errorf("the file of users has %d bytes, more than %d", len(data), MaxFile)}
	}
	if n := bytes.Count(data, []byte("\n")); n > MaxLines {
		return nil, []error{fmt.Errorf("the file of users has %d lines, more than %d", n, MaxLines)}
	}
	read := reader{users: &Users{byName: map[string]user{}}, lines: map[string]int{}}
	number := 0
	for line := range bytes.Lines(data) {
		number++
		read.line(number, bytes.TrimSuffix(line, []byte("\n")))
	}
	if len(read.errs) > 0 {
		return nil, read.errs
	}
	return read.users, nil
}

// mostErrors is how many lines are complained of at once.
const mostErrors = 20

// reader is what Parse has read so far.
type reader struct {
	users *Users
	lines map[string]int // where a name stands
	errs  []error
}

func (r *reader) line(number int, line []byte) {
	if len(line) == 0 || line[0] == '#' || len(r.errs) >= mostErrors {
		return
	}
	if err := r.user(number, line); err != nil {
		r.errs = append(r.errs, fmt.Errorf("line %d of the users: %w", number, err))
	}
}

func (r *reader) user(number int, line []byte) error {
	before, after, found := bytes.Cut(line, []byte(":"))
	if !found {
		return errLine("has no colon: write name:hash")
	}
	name := string(before)
	if err := checkName(name); err != nil {
		return err
	}
	if first, doubled := r.lines[name]; doubled {
		return fmt.Errorf("has the user of line %d: keep one of them", first)
	}
	hash, err := parseHash(string(after))
	if err != nil {
		return err
	}
	index, err := r.kind(hash.kind)
	if err != nil {
		return err
	}
	r.lines[name] = number
	r.users.byName[name] = user{kind: index, hash: hash}
	return nil
}

// kind is the place of parameters among those of the file.
func (r *reader) kind(of kind) (int, error) {
	for i, known := range r.users.kinds {
		if known == of {
			return i, nil
		}
	}
	if len(r.users.kinds) == MaxKinds {
		return 0, fmt.Errorf("has parameters of one more kind than the %d a file may have: hash the passwords alike", MaxKinds)
	}
	r.users.kinds = append(r.users.kinds, of)
	return len(r.users.kinds) - 1, nil
}

// errLine is an error about a line: a text that holds nothing of it.
type errLine string

// Error is the text.
func (e errLine) Error() string { return string(e) }

// maxName bounds the bytes of a name.
const maxName = 255

func checkName(name string) error {
	switch {
	case name == "":
		return errLine("has no name before the colon")
	case len(name) > maxName:
		return fmt.Errorf("has a name of %d bytes, more than %d", len(name), maxName)
	case !utf8.ValidString(name):
		return errLine("has a name that is no UTF-8")
	case name[0] == ' ' || name[len(name)-1] == ' ':
		return errLine("has blanks around the name")
	}
	for _, r := range name {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return errLine("has a control character in the name")
		}
	}
	return nil
}
