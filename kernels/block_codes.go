package kernels

// GroupCodes reads the codes of row r (of the panel) in the bytes of a group.
func (f Format) GroupCodes(dst *[GroupLen]uint8, group []byte, r int) {
	group = group[:f.GroupBytes()]
	for k := range dst {
		dst[k] = f.code(group, r, k)
	}
}

// PutGroupCodes writes codes, each below 1<<f.Bits(), as row r of a group whose bytes are zero there.
func (f Format) PutGroupCodes(group []byte, r int, codes *[GroupLen]uint8) {
	putGroup(group[:f.GroupBytes()], f, r, codes)
}
