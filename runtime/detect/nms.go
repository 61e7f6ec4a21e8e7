package detect

import "sort"

// maxCandidates is how many of the best boxes take part in a suppression: its time grows with them times the boxes kept.
const maxCandidates = 30000

// Suppress sorts boxes by falling score and drops those that overlap a better one of their class by
// more than iou (intersection over union); it returns at most limit.
func Suppress(boxes []Box, iou float32, limit int) []Box {
	sort.SliceStable(boxes, func(i, j int) bool { return boxes[i].Score > boxes[j].Score })
	var kept []Box
	for _, b := range boxes[:min(len(boxes), maxCandidates)] {
		if len(kept) == limit {
			break
		}
		free := true
		for _, k := range kept {
			if k.Class == b.Class && IoU(k, b) > iou {
				free = false
				break
			}
		}
		if free {
			kept = append(kept, b)
		}
	}
	return kept
}

// IoU returns the area of two boxes' intersection over that of their union.
func IoU(a, b Box) float32 {
	w := min(a.X2, b.X2) - max(a.X1, b.X1)
	h := min(a.Y2, b.Y2) - max(a.Y1, b.Y1)
	if w <= 0 || h <= 0 {
		return 0
	}
	inter := w * h
	return inter / ((a.X2-a.X1)*(a.Y2-a.Y1) + (b.X2-b.X1)*(b.Y2-b.Y1) - inter)
}
