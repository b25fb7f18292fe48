package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// suggestionDistance is how many letters may be wrong in what was probably meant.
const suggestionDistance = 2

// refuseMisspelt makes a misspelt command or flag an error that says what was
// probably meant. Without it, a group of commands answers anything with its help
// and exit code 0, so that a test that never ran looks like one that passed.
func refuseMisspelt(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for _, command := range root.Commands() {
		switch {
		case command.HasSubCommands():
			command.DisableFlagsInUseLine = true
			command.Args = func(group *cobra.Command, args []string) error { return unknownCommand(group, args) }
			command.RunE = func(group *cobra.Command, _ []string) error { return group.Help() }
		case command.Name() == "help":
			command.Args = func(_ *cobra.Command, args []string) error {
				found, rest, err := root.Find(args)
				if err != nil {
					return unknownCommand(root, args)
				}
				if found.HasSubCommands() {
					return unknownCommand(found, rest)
				}
				return nil
			}
		}
	}
	root.SetFlagErrorFunc(explainFlag)
}

// unknownCommand refuses what is left when no command of a group was found.
func unknownCommand(group *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, command := range group.Commands() {
		if command.IsAvailableCommand() {
			names = append(names, command.Name())
		}
	}
	says := "there are " + strings.Join(names, ", ")
	if meant := similar(args[0], names); meant != "" {
		says += "; is " + meant + " meant?"
	}
	return fmt.Errorf("unknown command %q of %s: %s", args[0], group.CommandPath(), says)
}

// explainFlag says which flag was probably meant; of a group, which command: the
// flag belongs to that.
func explainFlag(command *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	switch {
	case !ok:
		return err
	case command.HasSubCommands() && command.Flags().NArg() > 0:
		return unknownCommand(command, command.Flags().Args())
	}
	var names []string
	command.Flags().VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
	if meant := similar(unknown.GetSpecifiedName(), names); meant != "" {
		return fmt.Errorf("%w: is --%s meant?", err, meant)
	}
	return fmt.Errorf("%w: %s --help lists them", err, command.CommandPath())
}

// similar is the first name that differs in few letters; empty without one.
// Cobra knows the distance, of commands.
func similar(given string, names []string) string {
	known := &cobra.Command{SuggestionsMinimumDistance: suggestionDistance}
	for _, name := range slices.Sorted(slices.Values(names)) {
		known.AddCommand(&cobra.Command{Use: name, Run: func(*cobra.Command, []string) {}})
	}
	found := known.SuggestionsFor(given)
	if len(given) < 2 || len(found) == 0 {
		return ""
	}
	return found[0]
}

// arguments are how many a command takes, from and to. An error shows how it is
// written, and never the arguments: one may be a token.
func arguments(from, to int) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		switch {
		case len(args) < from:
			return fmt.Errorf("an argument is missing: write %s", command.UseLine())
		case len(args) > to:
			return fmt.Errorf("too many arguments: write %s", command.UseLine())
		}
		return nil
	}
}
