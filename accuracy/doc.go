// Package accuracy holds dsk against the figures of docs/quality.md: real models and data of ../shared, through the
// command line as a user has it. Its tests take minutes, so they have a build tag of their own:
//
//	go test -tags accuracy -v ./accuracy
//
// or "make accuracy". Each test logs what it measured beside its bar.
package accuracy
