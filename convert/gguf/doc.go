// Package gguf reads GGUF files (versions 2 and 3, little-endian), the format of ggml and llama.cpp: what they hold,
// and the tokenizers that their metadata describe.
//
// The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
package gguf
