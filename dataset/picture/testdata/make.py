"""Makes the files of this folder with Pillow and NumPy. The PNG beside a JPEG, and *-rgb.png, hold what Pillow
decodes it to: Image.open(...).convert("RGB"). Run it in this folder."""
import numpy as np
from PIL import Image

W, H = 19, 13
ramp = np.zeros((H, W, 3), np.uint8)
for y in range(H):
    for x in range(W):
        ramp[y, x] = [x * 13 % 256, y * 19 % 256, (255 - x * 6 - y * 8) % 256]


def decoded(source, target):
    Image.fromarray(np.array(Image.open(source).convert("RGB"))).save(target)


for name, subsampling in [("444", 0), ("422", 1), ("420", 2)]:
    Image.fromarray(ramp).save(f"ramp-{name}.jpg", quality=90, subsampling=subsampling)
    decoded(f"ramp-{name}.jpg", f"ramp-{name}.png")
Image.fromarray(ramp[:, :, 0]).save("gray.jpg", quality=90)
decoded("gray.jpg", "gray.png")
Image.fromarray(ramp).quantize(8).save("palette.png", transparency=bytes([0, 128, 255, 255, 10, 255, 255, 255]))
decoded("palette.png", "palette-rgb.png")
alpha = ((ramp[:, :, 0].astype(int) + ramp[:, :, 1]) % 256).astype(np.uint8)
Image.fromarray(np.dstack([ramp, alpha]), "RGBA").save("alpha.png")
decoded("alpha.png", "alpha-rgb.png")
