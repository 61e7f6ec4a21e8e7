package pack

import goruntime "runtime"

// privateModes says that a file's mode shows who may read it.
const privateModes = goruntime.GOOS != "windows"
