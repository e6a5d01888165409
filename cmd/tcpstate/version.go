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
			_, err := fmt.Fprintf(e.stdout, "tcpstate %s %s/%s %s\n", version, runtime.GOOS, runtime.GOARCH, runtime.Version())
			return asFailure(err)
		},
	}
}

func asFailure(err error) error {
	if err == nil {
		return nil
	}
	return failure{err}
}
