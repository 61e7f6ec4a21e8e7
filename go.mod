module github.com/dsk-toolkit/dsk

go 1.26
