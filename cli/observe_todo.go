package cli

import (
	"context"
	"errors"

	"github.com/streamkeeper-io/streamkeeper"
)

func observeBrokers(context.Context, Process, diagnoseFlags) ([]streamkeeper.Report, error) {
	return nil, errors.New("soon")
}

func observeRecording(context.Context, Process, diagnoseFlags) ([]streamkeeper.Report, error) {
	return nil, errors.New("soon")
}
