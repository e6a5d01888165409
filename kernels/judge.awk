# Reads the console of one guest, decides whether its tests passed.
#
# in   -v name=6.1 version=6.1.176 arch=amd64 seconds=41 status=0 pattern= console=PATH tally=PATH
#      status is what boot returned; 124 means that the guest was stopped for taking too long
#      files: may-skip, then the console
# out  one line "ok ..." or "FAIL ...", after the latter what failed; passed, failed and
#      skipped go to the file tally, and on its second line a pattern for the tests to try again
#
# test2json's mark, ^V, stands before each line of the testing package, so that a test that
# prints "--- PASS" decides nothing.

BEGIN { mark = "\026"; shown = 60 }

{ gsub(/\r/, "") }

FNR == NR {
	if ($0 !~ /^#/ && NF >= 3 && covers($1))
		maySkip[$2] = 1
	next
}

{ tail[FNR % shown] = $0; last = FNR }

/^@kernels / { guestSays(); next }

index($0, mark) {
	line = substr($0, index($0, mark) + 1)
	if (index($0, mark) > 1)
		keep(substr($0, 1, index($0, mark) - 1))
	if (line ~ /^=== (RUN|NAME|CONT|PAUSE) /)
		switchTest(line)
	else if (line ~ /^ *--- (PASS|FAIL|SKIP): /)
		endTest(line)
	else if (line ~ /^PASS$/)
		sawPass = 1
	next
}

/Kernel panic - / { fault(substr($0, index($0, "Kernel panic"))) }

{ keep($0) }

END { decide() }

function covers(kernel) {
	return kernel == "*" || kernel == name || kernel == version || index(version, kernel ".") == 1
}

function guestSays() {
	if ($2 == "boot")
		booted = 1
	else if ($2 == "fault")
		fault(substr($0, 16))
	else if ($2 == "note")
		notes = notes "    kernel: " substr($0, 15) "\n"
	else if ($2 == "done")
		finished = 1
	else if ($2 == "run") {
		package = $3
		current = ""
		sawPass = ran = 0
		free = ""
	} else if ($2 == "exit")
		endPackage($4)
}

function endPackage(code) {
	if (code != 0 || !sawPass)
		fault(package ": exit status " code (sawPass ? "" : ", no PASS at the end"))
	if (!ran && pattern == "")
		fault(package ": no test was run")
	if (code != 0)
		loose = loose free
	package = current = ""
}

function switchTest(line, word) {
	split(line, word, / +/)
	current = word[3] == "" ? "" : package " " word[3]
	if (word[2] != "RUN")
		return
	ran++
	order[++tests] = current
	state[current] = "unfinished"
	markParents(current, "RUN")
}

# A test with cases is counted through its cases.
function markParents(test, result, slash) {
	while (match(test, /\/[^\/]*$/)) {
		test = substr(test, 1, RSTART - 1)
		if (test in state) {
			hasCases[test] = 1
			if (result == "FAIL")
				failedBelow[test] = 1
		}
	}
}

function endTest(line, word) {
	sub(/^ +/, "", line)
	split(line, word, / +/)
	current = package " " word[3]
	state[current] = substr(word[2], 1, 4)
	if (state[current] ~ /^FAIL/)
		markParents(current, "FAIL")
}

function keep(text) {
	if (text == "")
		return
	if (current == "") {
		free = clip(free "    " text "\n")
		return
	}
	output[current] = clip(output[current] "    " text "\n")
}

# A test that prints without end must not fill the memory.
function clip(text) {
	return length(text) > 60000 ? substr(text, length(text) - 30000) : text
}

function fault(text) {
	faults[++faultCount] = text
}

function decide(i, test, word) {
	for (i = 1; i <= tests; i++)
		count(order[i])
	if (!booted)
		fault("did not boot")
	else if (!finished)
		fault(package == "" ? "ended early" : "ended early, in " package)
	if (status == 124)
		fault("stopped after " seconds " s")
	if (booted && finished && !passed && !failed && !skipped)
		fault("no test was run")
	if (!failed && faultCount)
		failed = 1
	print passed + 0, failed + 0, skipped + 0 > tally
	print finished && again != "" ? again : pattern > tally
	printf "%s %s %s: %d passed, %d failed, %d skipped, %d s [%s]\n", failed ? "FAIL" : "ok",
		version, arch, passed, failed, skipped, seconds, name
	printf "%s", notes
	if (failed)
		explain()
}

function count(test, bare) {
	bare = test
	sub(/^[^ ]* /, "", bare)
	if (state[test] == "PASS" && bare in maySkip)
		notes = notes "    may-skip names " bare ", which passed\n"
	if (state[test] == "PASS" && !hasCases[test])
		passed++
	else if (state[test] == "SKIP" && bare in maySkip)
		skipped++
	else if (state[test] == "SKIP")
		blame(test, "skipped, and not in may-skip")
	else if (state[test] == "FAIL" && !failedBelow[test])
		blame(test, "failed")
	else if (state[test] == "unfinished" && !failedBelow[test] && !unfinishedBelow(test))
		blame(test, "did not end")
}

function unfinishedBelow(test, other) {
	for (other in state)
		if (state[other] == "unfinished" && index(other, test "/") == 1)
			return 1
	return 0
}

function blame(test, why, top) {
	failed++
	top = test
	sub(/^[^ ]* /, "", top)
	sub(/\/.*/, "", top)
	if (!(top in toTryAgain)) {
		toTryAgain[top] = 1
		again = again (again == "" ? "" : "|") "^" top "$"
	}
	blamed[failed] = test ": " why "\n" (finished ? output[test] : "")
}

function explain(i) {
	for (i = 1; i <= failed; i++)
		printf "%s", blamed[i] == "" ? "" : "  " blamed[i]
	for (i = 1; i <= faultCount; i++)
		print "  " faults[i]
	printf "%s", loose
	if (!finished) {
		print "  the console's end:"
		for (i = last - shown + 1; i <= last; i++)
			if (i > 0)
				print "    " tail[i % shown]
	}
	print "  console: " console
}
