// Package tap writes what the validation programs have to say, in the Test Anything Protocol.
//
// The suite wants a module of that name which no distribution packages: this is what it calls of
// it, written anew.  Diagnostics are YAML blocks, and JSON is YAML.
package tap

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// T is one stream of results.
type T struct {
	Writer io.Writer
	count  *int
	todo   string
}

// New starts a stream on stdout.
func New() *T {
	return &T{Writer: os.Stdout, count: new(int)}
}

// Header begins the stream; with a number, it says how many results will come.
func (t *T) Header(planned int) {
	t.line("TAP version 13")
	if planned > 0 {
		t.line("1..%d", planned)
	}
}

// AutoPlan ends a stream that was begun without a number.
func (t *T) AutoPlan() {
	t.line("1..%d", *t.count)
}

// Ok is one result.
func (t *T) Ok(passed bool, description string) {
	verdict := "ok"
	if !passed {
		verdict = "not ok"
	}
	*t.count++
	t.line("%s %d - %s%s", verdict, *t.count, oneLine(description), t.todo)
}

// Pass is a result that is ok.
func (t *T) Pass(description string) {
	t.Ok(true, description)
}

// Fail is a result that is not ok.
func (t *T) Fail(description string) {
	t.Ok(false, description)
}

// Skip stands for results that could not be had.
func (t *T) Skip(count int, description string) {
	for ; count > 0; count-- {
		*t.count++
		t.line("ok %d # SKIP %s", *t.count, oneLine(description))
	}
}

// Todo returns a stream whose failures do not count.
func (t *T) Todo() *T {
	return &T{Writer: t.Writer, count: t.count, todo: " # TODO"}
}

// Diagnostic is a remark for people.
func (t *T) Diagnostic(message string) {
	for _, line := range strings.Split(strings.TrimRight(message, "\n"), "\n") {
		t.line("# %s", line)
	}
}

// Diagnosticf is a remark for people, made by fmt.
func (t *T) Diagnosticf(format string, values ...interface{}) {
	t.Diagnostic(fmt.Sprintf(format, values...))
}

// YAML belongs to the result before it.
func (t *T) YAML(value interface{}) error {
	block, err := json.MarshalIndent(value, "  ", "  ")
	if err != nil {
		return err
	}
	t.line("  ---\n  %s\n  ...", block)
	return nil
}

func (t *T) line(format string, values ...interface{}) {
	fmt.Fprintf(t.Writer, format+"\n", values...)
}

func oneLine(description string) string {
	return strings.Join(strings.Fields(description), " ")
}
