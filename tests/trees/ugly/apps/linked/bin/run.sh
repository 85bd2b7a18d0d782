#!/bin/sh
exec echo "executable in git, 0644 in the archive"
