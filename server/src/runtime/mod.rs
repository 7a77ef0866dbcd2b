//! The shell: feeds inputs to the deciding code and performs its effects.
