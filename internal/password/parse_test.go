package password

import (
	"fmt"
	"strings"
	"testing"
)

func argon2Line(parameters string) string {
	return "eve:$argon2id$v=19$" + parameters + "$c2l4dGVlbiBieXRlcyBvaw$Oq6NUf8oUawuVWIqWRRrB80MYlKfkN6Nm4K6m5hBrTw"
}

func TestWhatIsNotUnderstoodIsNamed(t *testing.T) {
	t.Parallel()
	bcryptWith := func(version, cost string) string { return "eve:$" + version + "$" + cost + horseBcrypt[6:] }
	for name, c := range map[string]struct{ line, want string }{
		"no colon":                     {"evesecret", "has no colon"},
		"no name":                      {":" + horseBcrypt, "has no name"},
		"no hash":                      {"eve:", "has no hash by bcrypt"},
		"a password":                   {"eve:hunter2hunter2", "has no hash by bcrypt"},
		"crypt":                        {"eve:rl.3StKT.4T8M", "has no hash by bcrypt"},
		"MD5":                          {"eve:$apr1$sDcMEFpq$ThnLGVU0mFIfnmS1WLbSB1", "has no hash by bcrypt"},
		"SHA-1":                        {"eve:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "has no hash by bcrypt"},
		"SHA-512":                      {"eve:$6$rounds=5000$abc$def", "has no hash by bcrypt"},
		"$2x$, which is broken":        {bcryptWith("2x", "10"), "has no hash by bcrypt"},
		"$2$":                          {bcryptWith("2", "10"), "has no hash by bcrypt"},
		"bcrypt, cheap":                {bcryptWith("2y", "05"), "has bcrypt with cost 5; 10 to 14 are taken: write it with htpasswd -B -C 12"},
		"bcrypt, dear":                 {bcryptWith("2y", "15"), "has bcrypt with cost 15"},
		"bcrypt, dearest":              {bcryptWith("2y", "31"), "has bcrypt with cost 31"},
		"bcrypt, cut off":              {"eve:" + horseBcrypt[:59], "has no hash by bcrypt"},
		"bcrypt, longer":               {"eve:" + horseBcrypt + "a", "has no hash by bcrypt"},
		"a third field":                {"eve:" + horseBcrypt + ":1000", "has no hash by bcrypt"},
		"the line end of Windows":      {"eve:" + horseBcrypt + "\r", "has no hash by bcrypt"},
		"a blank after it":             {"eve:" + horseBcrypt + " ", "has no hash by bcrypt"},
		"a blank before it":            {"eve: " + horseBcrypt, "has no hash by bcrypt"},
		"argon2i":                      {strings.Replace(argon2Line("m=19456,t=2,p=1"), "2id", "2i", 1), "has no hash by bcrypt"},
		"argon2id of an older version": {strings.Replace(argon2Line("m=19456,t=2,p=1"), "v=19", "v=16", 1), "has no hash by bcrypt"},
		"parameters in another order":  {argon2Line("t=2,m=19456,p=1"), "has no hash by bcrypt"},
		"a leading zero":               {argon2Line("m=019456,t=2,p=1"), "has no hash by bcrypt"},
		"more parameters":              {argon2Line("m=19456,t=2,p=1,keyid=a"), "has no hash by bcrypt"},
		"little memory":                {argon2Line("m=4096,t=9,p=1"), "has argon2id with m=4096; 7168 to 65536 are taken"},
		"much memory":                  {argon2Line("m=65537,t=1,p=1"), "has argon2id with m=65537"},
		"memory that overflows":        {argon2Line("m=9999999999,t=1,p=1"), "has argon2id with m=9999999999"},
		"no passes":                    {argon2Line("m=65536,t=0,p=1"), "has argon2id with t=0; 1 to 73"},
		"few passes":                   {argon2Line("m=7168,t=4,p=1"), "has argon2id with m=7168,t=4; their product must be"},
		"many passes":                  {argon2Line("m=65536,t=9,p=1"), "has argon2id with m=65536,t=9; their product must be"},
		"more passes":                  {argon2Line("m=7168,t=74,p=1"), "has argon2id with t=74; 1 to 73"},
		"many threads":                 {argon2Line("m=19456,t=2,p=9"), "has argon2id with p=9; 1 to 8"},
		"padding":                      {"eve:$argon2id$v=19$m=19456,t=2,p=1$YWFhYWFhYWE=$" + strings.Repeat("A", 43), "no base64"},
		"a line end in a salt":         {"eve:$argon2id$v=19$m=19456,t=2,p=1$YWFh\rYWFhYWE$" + strings.Repeat("A", 43), "no base64"},
		"a sign":                       {argon2Line("m=+19456,t=2,p=1"), "has no hash by bcrypt"},
		"a number beyond any":          {argon2Line("m=99999999999999999999,t=2,p=1"), "has no hash by bcrypt"},
		"a sign in the cost":           {"eve:$2b$+9" + horseBcrypt[6:], "has bcrypt with cost 9"},
		"a minus in the cost":          {"eve:$2b$-1" + horseBcrypt[6:], "has no hash by bcrypt"},
		"another letter in the hash":   {"eve:" + horseBcrypt[:59] + "+", "has no hash by bcrypt"},
		"a letter in the cost":         {"eve:$2b$1x" + horseBcrypt[6:], "has no hash by bcrypt"},
		"bits that nobody reads":       {"eve:$argon2id$v=19$m=19456,t=2,p=1$YWFhYWFhYWF$" + strings.Repeat("A", 43), "no base64"},
		"a short salt":                 {"eve:$argon2id$v=19$m=19456,t=2,p=1$YWFhYWE$" + strings.Repeat("A", 43), "a salt of 5"},
		"a short digest":               {"eve:$argon2id$v=19$m=19456,t=2,p=1$YWFhYWFhYWE$" + strings.Repeat("A", 20), "a digest of 15"},
		"a long digest":                {"eve:$argon2id$v=19$m=19456,t=2,p=1$YWFhYWFhYWE$" + strings.Repeat("A", 87), "a digest of 65"},
		"megabytes":                    {"eve:$argon2id$v=19$m=19456,t=2,p=1$YWFhYWFhYWE$" + strings.Repeat("A", 600), "has more after the colon"},
		"a long name":                  {strings.Repeat("e", 256) + ":" + horseBcrypt, "has a name of 256 bytes"},
		"a name with blanks around":    {"eve :" + horseBcrypt, "has blanks around the name"},
		"a name with a control":        {"e\tve:" + horseBcrypt, "has a control character"},
		"a name with a C1 control":     {"e\u0085ve:" + horseBcrypt, "has a control character"},
		"a name that is no UTF-8":      {"e\xffve:" + horseBcrypt, "no UTF-8"},
		"a name twice":                 {"ada:" + horseBcrypt, "has the user of line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			users, errs := Parse([]byte("ada:" + horseBcrypt + "\n" + c.line + "\n"))
			if len(errs) != 1 || users != nil {
				t.Fatalf("%v, %v; want an error and no users", users, errs)
			}
			got := errs[0].Error()
			if !strings.HasPrefix(got, "line 2 of the users: ") || !strings.Contains(got, c.want) {
				t.Errorf("%s\nwant: line 2 of the users: ...%s", got, c.want)
			}
			if _, hash, _ := strings.Cut(c.line, ":"); len(hash) > 4 && strings.Contains(got, hash) {
				t.Errorf("the error shows the line: %s", got)
			}
		})
	}
}

func TestFilesHaveBounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		data string
		want string
		n    int
	}{
		"too many bytes": {strings.Repeat("#", MaxFile+1), "bytes, more than", 1},
		"too many lines": {strings.Repeat("\n", MaxLines+1), "lines, more than", 1},
		"many bad lines": {strings.Repeat("x\n", 100), "line 20 of the users: has no colon", mostErrors},
		"too many kinds": {strings.Join([]string{
			"a:" + horseBcrypt, "b:" + horseArgon2, "c:" + largeArgon2, "d:" + longArgon2,
			"e:" + horseBcrypt, "f:" + strings.Replace(horseBcrypt, "$10$", "$12$", 1),
		}, "\n"), "line 6 of the users: has parameters of one more kind than the 4", 1},
	} {
		users, errs := Parse([]byte(c.data))
		if len(errs) != c.n || users != nil || !strings.Contains(errs[len(errs)-1].Error(), c.want) {
			t.Errorf("%s: %v, %v; want %d ending with %s", name, users, errs, c.n, c.want)
		}
	}
	var full strings.Builder
	for i := range MaxLines {
		fmt.Fprintf(&full, "user-%d:%s\n", i, horseBcrypt)
	}
	if users, errs := Parse([]byte(full.String())); len(errs) > 0 || users.Len() != MaxLines {
		t.Errorf("%v users of %d lines, %v", users.Len(), MaxLines, errs)
	}
}

// Whatever is read, no error shows it, and what it may cost is bounded.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "\n# a\n", "ada:" + horseBcrypt, "ada:" + horseArgon2 + "\nbob:" + largeArgon2 + "\r\n", "a:b:c", ":", "ada",
		argon2Line("m=4294967296,t=1,p=1"), argon2Line("m=7168,t=73,p=8"), "ada:$2y$99$" + horseBcrypt[7:],
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		users, errs := Parse(data)
		if (users == nil) != (len(errs) > 0) || len(errs) > mostErrors {
			t.Fatalf("users %v and %d errors", users, len(errs))
		}
		for _, err := range errs {
			for line := range strings.Lines(string(data)) {
				if _, hash, _ := strings.Cut(strings.TrimSpace(line), ":"); len(hash) > 16 && strings.Contains(err.Error(), hash) {
					t.Errorf("the error shows what stands there: %v", err)
				}
			}
		}
		if users == nil {
			return
		}
		if len(users.kinds) > MaxKinds || users.bytes() > maxMemory<<10 {
			t.Errorf("%d kinds, %d bytes", len(users.kinds), users.bytes())
		}
		for name, one := range users.byName {
			of := one.hash.kind
			if users.kinds[one.kind] != of || !strings.Contains(string(data), name+":"+one.hash.text) {
				t.Errorf("%q is not what the file says", name)
			}
			if work := of.memory * of.passes; of.cost > maxCost || of.cost == 0 && (work > maxWork || work < minWork || of.threads > maxThreads) {
				t.Errorf("%v is beyond bounds", of)
			}
		}
	})
}
