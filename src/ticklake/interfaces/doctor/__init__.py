"""The doctor: looks at the machine, the settings, the lake and the exchanges, and says what is wrong and what helps."""
