"""What a client does, a file a subject: functions of the suite that it is connected to."""
