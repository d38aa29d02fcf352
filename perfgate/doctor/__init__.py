"""What can this machine measure, what can't it, and what is to be done about it?"""
