"""Recordings: Gym's own files, written while an instance is watched, and read back.

recorder   watches one instance
journal    what a kill can't take away; folded into Gym's files at the end
video      frames -> mp4, text -> asciicast
reader     a directory -> its episodes
files      the names, and writing whole files
opening    what others may have put there
"""
