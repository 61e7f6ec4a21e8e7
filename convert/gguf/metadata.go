package gguf

import (
	"fmt"
	"reflect"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// Value returns the metadata under a key, nil if there is none.
func (f *File) Value(key string) any {
	if i, ok := f.byKey[key]; ok {
		return f.Entries[i].Value
	}
	return nil
}

// Text returns the string under a key, "" if there is none.
func (f *File) Text(key string) string {
	s, _ := f.Value(key).(string)
	return s
}

// get returns the metadata under a key as a T; absent is not an error, another type is.
func get[T any](f *File, key string) (v T, ok bool, err error) {
	raw := f.Value(key)
	if raw == nil {
		return v, false, nil
	}
	v, ok = raw.(T)
	if !ok {
		err = fault.Formatf("metadata "+key, "its type is %T, want %T", raw, v)
	}
	return v, ok, err
}

// id returns the token id under a key, or def; it must be below n.
func (f *File) id(key string, def, n int) (int, error) {
	v, ok, err := get[uint32](f, key)
	if err != nil || !ok {
		return def, err
	}
	if int64(v) >= int64(n) {
		return 0, fault.Formatf("metadata "+key, "%d is no id of %d tokens", v, n)
	}
	return int(v), nil
}

// flag returns the truth value under a key, or def.
func (f *File) flag(key string, def bool) (bool, error) {
	v, ok, err := get[bool](f, key)
	if !ok {
		v = def
	}
	return v, err
}

// Describe shortens a value for people: a long array is its length and type.
func Describe(v any) string {
	if s, ok := v.(string); ok {
		const most = 80
		if r := []rune(s); len(r) > most {
			return fmt.Sprintf("%q... (%d bytes)", string(r[:most]), len(s))
		}
		return fmt.Sprintf("%q", s)
	}
	list := reflect.ValueOf(v)
	if list.Kind() != reflect.Slice {
		return fmt.Sprint(v)
	}
	switch kind := list.Type().Elem().Kind(); {
	case kind == reflect.Interface:
		return fmt.Sprintf("[%d arrays]", list.Len())
	case list.Len() > 8 || kind == reflect.String:
		return fmt.Sprintf("[%d %s]", list.Len(), kind)
	}
	return fmt.Sprint(v)
}
