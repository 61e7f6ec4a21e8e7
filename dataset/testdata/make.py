"""Makes the arrays of this folder with NumPy. Run it in this folder."""
import numpy as np

np.savez("pair.npz", a=np.arange(6, dtype=np.float32).reshape(2, 3), b=np.array([[True], [False]]))
np.save("scalar.npy", np.array(7, dtype=np.int64))
np.save("vector.npy", np.array([1, -2, 3], dtype=np.int16))
np.save("half.npy", np.array([[1, 0.5], [-2, 65504]], dtype=np.float16))
np.save("empty.npy", np.zeros((0, 3), np.float32))
np.save("fortran.npy", np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)))
np.save("big-endian.npy", np.arange(3, dtype=">f4"))
