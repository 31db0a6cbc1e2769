package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/access"
	"github.com/spf13/cobra"
)

const defaultExpires = time.Hour // a token can't be taken back, and an app makes the next in microseconds

type tokenFlags struct {
	secretFile         string
	user               string
	subscribe, publish []string
	expires            time.Duration
	newSecret          bool
	json               bool
}

func (a *app) token() *cobra.Command {
	var f tokenFlags
	cmd := &cobra.Command{
		Use:   "token [flags]",
		Short: "Make an access token, or the secret that signs them",
		Long: `Make an access token for a hub that runs with the same secret, and print it.

A token is an ordinary JWT (HS256), so that an app in any language can make its own: see docs/configuration.md. Topic
patterns: "orders" is that topic, "orders/*" every topic below it, "*" every topic.

A secret is rotated by putting a new line above the old one in the file: the first signs, all verify.`,
		Example: `  buffkit token --new-secret --secret-file buffkit.secret
  buffkit token --secret-file buffkit.secret --user ann --subscribe 'orders/*,news' --expires 8h
  BUFFKIT_TOKEN=$(buffkit token --secret-file buffkit.secret --publish news) buffkit publish --topic news hello`,
		Args: noArgs,
		RunE: a.run(func(*cobra.Command, []string) error {
			if f.newSecret {
				return a.makeSecret(f)
			}
			return a.makeToken(f)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.secretFile, "secret-file", "", "file with the secret, one a line (default $"+secretVar+")")
	flags.StringVar(&f.user, "user", "", "whose token it is; streams of a user share limits, and sessions resume for their user only")
	flags.StringSliceVar(&f.subscribe, "subscribe", nil, "topic patterns it may read; repeat or separate by commas")
	flags.StringSliceVar(&f.publish, "publish", nil, "topic patterns it may publish to")
	flags.DurationVar(&f.expires, "expires", defaultExpires, "how long it is good")
	flags.BoolVar(&f.newSecret, "new-secret", false, "make a secret instead: into --secret-file, which must not exist, or print it")
	flags.BoolVar(&f.json, "json", false, `print {"token","user","expires"}`)
	for _, other := range []string{"user", "subscribe", "publish", "expires", "json"} {
		cmd.MarkFlagsMutuallyExclusive("new-secret", other)
	}
	return cmd
}

// makeSecret never overwrites a secret: every token and session of a running hub hangs on it.
func (a *app) makeSecret(f tokenFlags) error {
	secret := access.NewSecret()
	if f.secretFile == "" {
		_, err := fmt.Fprintln(a.stdout, secret)
		return err
	}
	file, err := os.OpenFile(f.secretFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists: to rotate the secret, put a new one above it as the first line "+
			"(buffkit token --new-secret prints one)", f.secretFile)
	}
	if err != nil {
		return fmt.Errorf("write the secret: %w", err)
	}
	_, err = fmt.Fprintln(file, secret)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write the secret: %w", err)
	}
	_, err = fmt.Fprintf(a.stderr, "wrote a new secret to %s, readable by you only\n", f.secretFile)
	return err
}

func (a *app) makeToken(f tokenFlags) error {
	grant := access.Grant{User: f.user, Expires: time.Now().Add(f.expires)}
	var err1, err2 error
	grant.Subscribe, err1 = parsePatterns("subscribe", f.subscribe)
	grant.Publish, err2 = parsePatterns("publish", f.publish)
	switch {
	case err1 != nil || err2 != nil:
		return errors.Join(err1, err2)
	case len(grant.Subscribe)+len(grant.Publish) == 0:
		return usagef("the token would allow nothing: give --subscribe or --publish, as in --subscribe 'orders/*'")
	case f.expires < time.Second:
		return usagef("--expires %v: give at least 1s", f.expires)
	}
	keys, err := loadKeys(f.secretFile)
	if err != nil {
		return err
	}
	if keys == nil {
		return usagef("no secret: give --secret-file or $%s; make one with: buffkit token --new-secret --secret-file FILE", secretVar)
	}
	token, err := keys.Sign(grant)
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(a.stdout, struct {
			Token   string    `json:"token"`
			User    string    `json:"user"`
			Expires time.Time `json:"expires"`
		}{token, f.user, grant.Expires.UTC().Truncate(time.Second)})
	}
	_, err = fmt.Fprintln(a.stdout, token)
	return err
}

func parsePatterns(flag string, texts []string) ([]access.Pattern, error) {
	var patterns []access.Pattern
	for _, text := range texts {
		p, err := access.ParsePattern(text)
		if err != nil {
			return nil, usagef("--%s: %w", flag, err)
		}
		patterns = append(patterns, p)
	}
	return patterns, nil
}
