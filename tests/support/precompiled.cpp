// The precompiled header is the product of this file's target; the file itself is empty.
