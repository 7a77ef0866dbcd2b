//! Turns requests into transactions or answers.
