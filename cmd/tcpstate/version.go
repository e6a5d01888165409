package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func newVersion(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(e.stdout, versionText())
			return asFailure(err)
		},
	}
}

func versionText() string {
	return fmt.Sprintf("tcpstate %s %s/%s %s", version, runtime.GOOS, runtime.GOARCH, runtime.Version())
}

func asFailure(err error) error {
	if err == nil {
		return nil
	}
	return failure{err}
}
