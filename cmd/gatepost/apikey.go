package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"gatepost.dev/gatepost/apikey"
	"gatepost.dev/gatepost/cmd/gatepost/internal/output"
	"gatepost.dev/gatepost/policy"
)

// creation holds the flags of `gatepost apikey create`.
type creation struct {
	clientID  string
	name      string
	object    string
	namespace string
	labels    map[string]string
	scopes    []string
	claims    map[string]string
	expires   string
	keyFile   string
	manifest  string
	format    output.Format
}

func createCommand(now func() time.Time, random io.Reader) *cobra.Command {
	var c creation
	command := &cobra.Command{
		Use:   "create --client-id ID",
		Short: "Make an API key and the APIKey object with its hash",
		Long: `Make a random API key for a client, and the APIKey object that lets it in.

The key is shown once, on the terminal or in the file of --key-file, and kept
nowhere; the object holds its SHA-256. Where stdout is a file or a pipe, it gets
the object alone, and the key is shown on stderr.

To replace a key, make a second one of another --name, add its value to the list
spec.values of the client's object, hand the new key out, and remove the old
value: two may be live at once. Never apply the second object over the first, for
it has that one value alone.

With -o the object alone is written where it goes, as JSON or YAML, to be applied;
the key needs a file of its own then.`,
		Example: `  gatepost apikey create --client-id crm --scope agents:run --expires 2160h
  gatepost apikey create --client-id crm -n agents --key-file crm.key -o yaml | kubectl apply -f -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return errors.New("apikey create takes no arguments: a key is made here, and never given to a program that way")
			}
			return nil
		},
		RunE: func(command *cobra.Command, _ []string) error {
			if err := c.refuseKeys(); err != nil {
				return err
			}
			return c.run(command, now(), random)
		},
	}
	flags := command.Flags()
	flags.StringVar(&c.clientID, "client-id", "", "client id, by which rules, metrics and the agent know the client")
	flags.StringVar(&c.name, "name", "", "name of this key among those of the client; default: the id in the key")
	flags.StringVar(&c.object, "object-name", "", "name of the object; default: the client id, if it may be one")
	flags.StringVarP(&c.namespace, "namespace", "n", "", "namespace of the object")
	flags.StringToStringVar(&c.labels, "label", nil, "name=value label by which policies select the client; repeat it for several")
	flags.StringArrayVar(&c.scopes, "scope", nil, "what the client may do; repeat it for several")
	flags.StringToStringVar(&c.claims, "claim", nil, "name=value claim of the client; repeat it for several")
	flags.StringVar(&c.expires, "expires", "", "when the key expires: a time (2027-03-01T00:00:00Z), a day (2027-03-01) or from now (2160h); default: never")
	flags.StringVar(&c.keyFile, "key-file", "", "new file for the key; stdout then holds the object alone")
	flags.StringVar(&c.manifest, "manifest", "", "new file for the object; stdout then holds the key alone")
	c.format.Flag(command)
	_ = command.MarkFlagRequired("client-id")
	return command
}

// run makes the key. Files are written before anything is shown, so that there
// is never an object whose key nobody has seen.
func (c creation) run(command *cobra.Command, now time.Time, random io.Reader) error {
	if c.format != output.Text && c.keyFile == "" && c.manifest == "" {
		return fmt.Errorf("-o %s: stdout would hold the key beside the object: give --key-file FILE for the key", c.format)
	}
	key, err := apikey.Generate(random)
	if err != nil {
		return err
	}
	object, err := c.describe(key, now)
	if err != nil {
		return err
	}
	if err := c.keep(key, object); err != nil {
		return err
	}
	stdout := command.OutOrStdout()
	toOut, toErr := c.shown(key, object, output.Detect(stdout) != output.Terminal{})
	if _, err := io.WriteString(command.ErrOrStderr(), toErr); err != nil {
		return err
	}
	_, err = io.WriteString(stdout, toOut)
	return err
}

// shown is what is left for stdout and stderr. What is no terminal is to be
// applied, and gets the object alone.
func (c creation) shown(key apikey.Key, object string, terminal bool) (stdout, stderr string) {
	const handOut = "The key, shown this once; hand it to the client:\n\n"
	switch {
	case c.keyFile != "" && c.manifest != "":
		return "", ""
	case c.keyFile != "":
		return object, ""
	case c.manifest != "":
		return key.Reveal() + "\n", ""
	case !terminal:
		return object, handOut + key.Reveal() + "\n\nThe object, which holds its hash, is on stdout: apply it.\n"
	}
	return handOut + key.Reveal() + "\n\nThe object, which holds its hash; apply it:\n\n" + object, ""
}

// refuseKeys refuses a key in the place of something else: it would end up in
// the object.
func (c creation) refuseKeys() error {
	for _, given := range []struct{ flag, text string }{
		{"--client-id", c.clientID},
		{"--name", c.name},
		{"--object-name", c.object},
		{"--namespace", c.namespace},
		{"--label", fmt.Sprint(c.labels)},
		{"--scope", fmt.Sprint(c.scopes)},
		{"--claim", fmt.Sprint(c.claims)},
		{"--expires", c.expires},
		{"--key-file", c.keyFile},
		{"--manifest", c.manifest},
	} {
		if policy.HoldsKey(given.text) {
			return fmt.Errorf("%s: holds what looks like a key: keys are made here, and never given to a program; make a new one", given.flag)
		}
	}
	return nil
}

// keep writes the files that were asked for: all of them, or none.
func (c creation) keep(key apikey.Key, object string) (err error) {
	if c.keyFile != "" && c.manifest != "" && filepath.Clean(c.keyFile) == filepath.Clean(c.manifest) {
		return errors.New("--manifest: is the same file as --key-file: choose another")
	}
	var made []*os.File
	defer func() {
		for _, file := range made {
			err = errors.Join(err, file.Close())
		}
		for _, file := range made {
			if err != nil {
				_ = os.Remove(file.Name()) // best effort: the error before it is the one to know
			}
		}
	}()
	var contents []string
	for _, file := range []struct{ flag, path, content string }{
		{"--key-file", c.keyFile, key.Reveal()}, {"--manifest", c.manifest, object},
	} {
		if file.path == "" {
			continue
		}
		opened, err := openNew(file.path)
		if err != nil {
			return fmt.Errorf("%s: %w", file.flag, err)
		}
		made, contents = append(made, opened), append(contents, file.content)
	}
	for i, file := range made {
		if _, err := file.WriteString(contents[i]); err != nil {
			return fmt.Errorf("writing the file: %w", err)
		}
	}
	return nil
}

// openNew makes a file that only its owner may read, and never in the place of another.
func openNew(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, fmt.Errorf("making the file: %w: choose a new file", err)
	case err != nil:
		return nil, fmt.Errorf("making the file: %w", err)
	}
	return file, nil
}

// objectForm is a DNS subdomain (RFC 1123), which names of objects are.
var objectForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

// objectName is the name asked for, or the client id itself: one made from it
// could be that of another client.
func (c creation) objectName() (string, error) {
	switch {
	case c.object == "" && !objectForm.MatchString(c.clientID):
		return "", fmt.Errorf("--object-name: client id %q is no object name: give one of lower-case letters, digits, hyphens and dots", c.clientID)
	case c.object == "":
		return c.clientID, nil
	case len(c.object) > 253 || !objectForm.MatchString(c.object):
		return "", fmt.Errorf("--object-name: %q is no object name: use lower-case letters, digits, hyphens and dots", c.object)
	}
	return c.object, nil
}

// describe is the APIKey in YAML.
func (c creation) describe(key apikey.Key, now time.Time) (string, error) {
	value := policy.APIKeyValue{Name: c.name, KeyHash: key.Hash().String()}
	if value.Name == "" {
		value.Name = key.ID()
	}
	if c.expires != "" {
		expires, err := parseExpiry(c.expires, now)
		if err != nil {
			return "", err
		}
		value.ExpiresAt = new(expires.UTC().Format(time.RFC3339))
	}
	spec := policy.APIKeySpec{ClientID: c.clientID, Values: []policy.APIKeyValue{value}, Scopes: c.scopes, Claims: map[string]policy.ClaimText{}}
	for name, text := range c.claims {
		spec.Claims[name] = policy.ClaimText(text)
	}
	if err := policy.CheckAPIKey(spec); err != nil {
		return "", fmt.Errorf("such an APIKey would be refused: %w", err)
	}
	name, err := c.objectName()
	if err != nil {
		return "", err
	}
	return c.yaml(name, spec)
}

// parseExpiry reads a time, a day in UTC, or a length of time from now.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at, err = time.Parse(time.DateOnly, text)
	}
	if length, wrong := time.ParseDuration(text); wrong == nil {
		at, err = now.Add(length), nil
	}
	switch {
	case err != nil:
		return time.Time{}, fmt.Errorf("--expires %q: write 2027-03-01T00:00:00Z, 2027-03-01 or 2160h", text)
	case !at.After(now):
		return time.Time{}, fmt.Errorf("--expires %s: is over already", text)
	}
	return at, nil
}

// yaml writes the object in the order in which people read it, or as JSON.
func (c creation) yaml(name string, spec policy.APIKeySpec) (string, error) {
	type value struct {
		Name      string  `yaml:"name"`
		KeyHash   string  `yaml:"keyHash"`
		ExpiresAt *string `yaml:"expiresAt,omitempty"`
	}
	var object struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Metadata   struct {
			Name      string            `yaml:"name"`
			Namespace string            `yaml:"namespace,omitempty"`
			Labels    map[string]string `yaml:"labels,omitempty"`
		} `yaml:"metadata"`
		Spec struct {
			ClientID string                      `yaml:"clientID"`
			Values   []value                     `yaml:"values"`
			Scopes   []string                    `yaml:"scopes,omitempty"`
			Claims   map[string]policy.ClaimText `yaml:"claims,omitempty"`
		} `yaml:"spec"`
	}
	object.APIVersion, object.Kind = "gatepost.dev/v1alpha1", "APIKey"
	object.Metadata.Name, object.Metadata.Namespace, object.Metadata.Labels = name, c.namespace, c.labels
	object.Spec.ClientID, object.Spec.Scopes, object.Spec.Claims = spec.ClientID, spec.Scopes, spec.Claims
	for _, v := range spec.Values {
		object.Spec.Values = append(object.Spec.Values, value(v))
	}
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(object), encoder.Close()); err != nil {
		return "", fmt.Errorf("writing the object: %w", err)
	}
	if c.format != output.JSON {
		return text.String(), nil
	}
	asJSON, err := output.JSONOf(text.Bytes())
	return string(asJSON), err
}
