# SPDX-License-Identifier: GPL-2.0
# MAINTAINERS is a list of sections, each a title line followed by "X:<tab>..." lines, with blank
# lines between them.
#
# awk -v entry=FILE -f maintainers.awk MAINTAINERS
#	The file with our entry at its alphabetical place. The kernel's file is only roughly sorted:
#	take the place that leaves the fewest sections on the wrong side of ours.
# awk -v since=OLD -f maintainers.awk NEW
#	The sections of NEW that OLD does not have.

# read_blocks(): the blocks of text between blank lines become indices of blocks[].
function read_blocks(file, blocks, line, text) {
	while ((getline line <file) > 0) {
		if (line == "") {
			blocks[text] = 1
			text = ""
		} else {
			text = text line "\n"
		}
	}
	blocks[text] = 1
}

# end_block(): in "since" mode, print the block that just ended if it is new.
function end_block() {
	if (text != "" && !(text in old))
		printf "%s%s", added++ ? "\n" : "", text
	text = ""
}

BEGIN {
	if (since != "")
		read_blocks(since, old)
	while (entry != "" && (getline line <entry) > 0)
		if (line != "")
			ours = ours line "\n"
}

since != "" && $0 == "" { end_block() }
since != "" && $0 != "" { text = text $0 "\n" }
{ lines[NR] = $0 }

END {
	if (since != "") {
		end_block()
		exit
	}
	# Moving our place past a section is right when that section sorts before us, else wrong.
	title = substr(ours, 1, index(ours, "\n") - 1)
	for (i = 1; i <= NR; i++) {
		if (lines[i - 1] != "" || lines[i] == "" || lines[i + 1] !~ /^[A-Z]:\t/)
			continue
		if (!place || score > best) {
			best = score
			place = i
		}
		score += lines[i] < title ? 1 : -1
	}
	if (!place || score > best)
		place = NR + 1
	for (i = 1; i <= NR; i++) {
		if (i == place)
			print ours
		print lines[i]
	}
	if (place > NR)
		printf "\n%s", ours
}
