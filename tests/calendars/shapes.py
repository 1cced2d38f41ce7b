"""Calendars as their makers write them, after the documentation and habits of each: what a file holds,
and when something is on within 1 March to 5 April 2026 for somebody in Berlin."""

from __future__ import annotations

from dataclasses import dataclass, field

BERLIN = """\
BEGIN:VTIMEZONE
TZID:Europe/Berlin
X-LIC-LOCATION:Europe/Berlin
BEGIN:DAYLIGHT
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
TZNAME:CEST
DTSTART:19700329T020000
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
END:DAYLIGHT
BEGIN:STANDARD
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
TZNAME:CET
DTSTART:19701025T030000
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
END:VTIMEZONE
"""
WINDOWS = """\
BEGIN:VTIMEZONE
TZID:W. Europe Standard Time
BEGIN:STANDARD
DTSTART:16010101T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE
"""
PACIFIC = """\
BEGIN:VTIMEZONE
TZID:(UTC-08:00) Pacific Time (US & Canada)
BEGIN:STANDARD
DTSTART:16010101T020000
TZOFFSETFROM:-0700
TZOFFSETTO:-0800
RRULE:FREQ=YEARLY;BYDAY=1SU;BYMONTH=11
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:-0800
TZOFFSETTO:-0700
RRULE:FREQ=YEARLY;BYDAY=2SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE
"""


@dataclass(frozen=True)
class Shape:
    """One file: its parts, and what is on: “day hour:minute title” by the clocks of Berlin."""

    maker: str
    parts: str
    on: list[str]
    head: str = ""
    dial: str = ""
    leads: tuple[int, ...] = ()
    all_day: bool = False
    left_out: int = 0
    encoding: str = "utf-8"
    newline: str = "\r\n"
    name: str = field(default="")

    @property
    def content(self) -> bytes:
        lines = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:{self.maker}\n{self.head}{self.parts}END:VCALENDAR\n"
        return lines.replace("\n", self.newline).encode(self.encoding)


def event(*lines: str) -> str:
    return "\n".join(("BEGIN:VEVENT", *lines, "END:VEVENT")) + "\n"


def todo(*lines: str) -> str:
    return "\n".join(("BEGIN:VTODO", *lines, "END:VTODO")) + "\n"


GOOGLE, APPLE = "-//Google Inc//Google Calendar 70.9054//EN", "-//Apple Inc.//macOS 14.5//EN"
OUTLOOK = "Microsoft Exchange Server 2010"
SHAPES = {
    "google: a single one in UTC": Shape(GOOGLE, event(
        "DTSTART:20260310T080000Z", "DTEND:20260310T090000Z", "DTSTAMP:20260301T120000Z",
        "UID:5q0hq@google.com", "CREATED:20260228T120000Z", "DESCRIPTION:", "LOCATION:",
        "SEQUENCE:0", "STATUS:CONFIRMED", "SUMMARY:Dentist", "TRANSP:OPAQUE"),
        ["10 09:00 Dentist"], head="CALSCALE:GREGORIAN\nMETHOD:PUBLISH\nX-WR-CALNAME:My Week\n"
        "X-WR-TIMEZONE:Europe/Berlin\n", name="My Week"),
    "google: weekly, one moved, one gone": Shape(GOOGLE, BERLIN + event(
        "DTSTART;TZID=Europe/Berlin:20260302T100000", "DTEND;TZID=Europe/Berlin:20260302T103000",
        "RRULE:FREQ=WEEKLY;UNTIL=20260330T215959Z;BYDAY=MO",
        "EXDATE;TZID=Europe/Berlin:20260316T100000", "UID:w@google.com", "SUMMARY:Stand-up") + event(
        "DTSTART;TZID=Europe/Berlin:20260310T110000", "DTEND;TZID=Europe/Berlin:20260310T113000",
        "UID:w@google.com", "RECURRENCE-ID;TZID=Europe/Berlin:20260309T100000",
        "SUMMARY:Stand-up (moved)"),
        ["02 10:00 Stand-up", "10 11:00 Stand-up (moved)", "23 10:00 Stand-up", "30 10:00 Stand-up"]),
    "google: a meeting with Meet": Shape(GOOGLE, event(
        "DTSTART:20260311T130000Z", "DTEND:20260311T140000Z", "UID:m@google.com",
        "ORGANIZER;CN=Bob:mailto:bob@example.com",
        "ATTENDEE;CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT=ACCEPTED;CN=alice@",
        " example.com;X-NUM-GUESTS=0:mailto:alice@example.com",
        "X-GOOGLE-CONFERENCE:https://meet.google.com/abc-defg-hij",
        "DESCRIPTION:-::~:~::-\\nJoin with Google Meet: https://meet.google.com/abc-defg-h",
        " ij\\nOr dial: (US) +1 252-555-0123 PIN: 123456789#\\n-::~:~::-", "SUMMARY:Plans"),
        ["11 14:00 Plans"], dial="+12525550123,,123456789#"),
    "google: cancelled": Shape(GOOGLE, event(
        "DTSTART:20260312T080000Z", "UID:c@google.com", "STATUS:CANCELLED", "SUMMARY:Off"), []),
    "apple: floating with two alarms": Shape(APPLE, event(
        "DTSTART:20260313T183000", "DTEND:20260313T203000", "UID:A1-B2", "SUMMARY:Cinema",
        "X-APPLE-TRAVEL-ADVISORY-BEHAVIOR:AUTOMATIC", "BEGIN:VALARM", "ACTION:DISPLAY",
        "DESCRIPTION:Reminder", "TRIGGER:-PT15M", "X-WR-ALARMUID:1", "END:VALARM", "BEGIN:VALARM",
        "ACTION:AUDIO", "TRIGGER:-P1D", "END:VALARM"),
        ["13 18:30 Cinema"], leads=(1440, 15)),
    "apple: a birthday every year, all day": Shape(APPLE, event(
        "DTSTART;VALUE=DATE:20040320", "DTEND;VALUE=DATE:20040321", "RRULE:FREQ=YEARLY",
        "UID:birthday", "SUMMARY:Dave’s birthday", "TRANSP:TRANSPARENT", "BEGIN:VALARM",
        "ACTION:AUDIO", "TRIGGER:-PT15H", "X-APPLE-DEFAULT-ALARM:TRUE", "END:VALARM"),
        ["20 00:00 Dave’s birthday"], all_day=True, leads=(900,)),
    "apple: to do with a date due": Shape(APPLE, todo(
        "UID:t1", "DUE;TZID=Europe/Berlin:20260314T120000", "SUMMARY:Tax", "STATUS:NEEDS-ACTION"),
        ["14 12:00 Tax"]),
    "apple: to do that is done": Shape(APPLE, todo(
        "UID:t2", "DUE:20260314T120000Z", "SUMMARY:Old", "STATUS:COMPLETED"), []),
    "outlook: the zone by its name in Windows": Shape(OUTLOOK, WINDOWS + event(
        "UID:040000008200E00074C5B7101A82E008", "SUMMARY;LANGUAGE=de-DE:Besprechung",
        "DTSTART;TZID=W. Europe Standard Time:20260317T090000",
        "DTEND;TZID=W. Europe Standard Time:20260317T100000", "CLASS:PUBLIC", "PRIORITY:5",
        "X-MICROSOFT-CDO-BUSYSTATUS:TENTATIVE", "X-MICROSOFT-DISALLOW-COUNTER:FALSE",
        "BEGIN:VALARM", "DESCRIPTION:REMINDER", "TRIGGER;RELATED=START:-PT15M", "ACTION:DISPLAY",
        "END:VALARM"), ["17 09:00 Besprechung"], head="METHOD:REQUEST\n", leads=(15,)),
    "outlook: the zone in words, with a comma's worth of quotes": Shape(OUTLOOK, PACIFIC + event(
        "UID:p1", "SUMMARY:Call with Redmond",
        'DTSTART;TZID="(UTC-08:00) Pacific Time (US & Canada)":20260318T090000',
        'DTEND;TZID="(UTC-08:00) Pacific Time (US & Canada)":20260318T100000'),
        ["18 17:00 Call with Redmond"]),
    "outlook: no such zone in the file": Shape(OUTLOOK, event(
        "UID:p2", "SUMMARY:Lunch", "DTSTART;TZID=W. Europe Standard Time:20260319T120000"),
        ["19 12:00 Lunch"]),
    "outlook: Teams with a number": Shape(OUTLOOK, event(
        "UID:teams", "DTSTART:20260319T140000Z", "SUMMARY:Review", "LOCATION:Microsoft Teams Meeting",
        "DESCRIPTION:________________\\nMicrosoft Teams\\nMeeting ID: 321 654 987 01\\nDial in by p",
        " hone\\n+49 69 5050 0123\\,\\,987654321# Germany\\, Frankfurt\\nPhone conference ID: 987 654 321#\\n"),
        ["19 15:00 Review"], dial="+496950500123,,987654321#"),
    "exchange: every second Tuesday of the month": Shape(OUTLOOK, WINDOWS + event(
        "UID:2tu", "SUMMARY:Board", "DTSTART;TZID=W. Europe Standard Time:20250114T170000",
        "RRULE:FREQ=MONTHLY;INTERVAL=1;BYDAY=2TU"), ["10 17:00 Board"]),
    "exchange: the last working day": Shape(OUTLOOK, WINDOWS + event(
        "UID:lwd", "SUMMARY:Pay", "DTSTART;TZID=W. Europe Standard Time:20250131T080000",
        "RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"), ["31 08:00 Pay"]),
    "exchange: a series taken back": Shape(OUTLOOK, event(
        "UID:x9", "SUMMARY:Cancelled: Retreat", "DTSTART:20260320T080000Z", "STATUS:CANCELLED"), [],
        head="METHOD:CANCEL\n"),
    "nextcloud: with its own zone block after the event": Shape(
        "-//IDN nextcloud.com//Calendar app 4.7.6//EN", event(
        "CREATED:20260201T090000Z", "UID:nc-1", "SUMMARY:Choir",
        "DTSTART;TZID=Europe/Berlin:20260324T193000", "DURATION:PT2H") + BERLIN,
        ["24 19:30 Choir"]),
    "nextcloud: added dates": Shape("-//IDN nextcloud.com//Calendar app 4.7.6//EN", BERLIN + event(
        "UID:nc-2", "SUMMARY:Course", "DTSTART;TZID=Europe/Berlin:20260304T180000",
        "RDATE;TZID=Europe/Berlin:20260311T180000,20260325T180000"),
        ["04 18:00 Course", "11 18:00 Course", "25 18:00 Course"]),
    "zoom: one tap": Shape("-//zoom.us//iCalendar Event//EN", BERLIN + event(
        "UID:20260316T0900@zoom", "SUMMARY:Weekly", "DTSTART;TZID=Europe/Berlin:20260316T090000",
        "LOCATION:https://us02web.zoom.us/j/84531234567",
        "DESCRIPTION:Join Zoom Meeting\\n\\nOne tap mobile\\n+13017158592\\,\\,84531234567# US\\nD",
        " ial by your location\\n+1 301 715 8592 US\\nMeeting ID: 845 3123 4567\\n",
        "BEGIN:VALARM", "TRIGGER:-PT10M", "ACTION:DISPLAY", "DESCRIPTION:Reminder", "END:VALARM"),
        ["16 09:00 Weekly"], dial="+13017158592,,84531234567#", leads=(10,)),
    "webex: access code": Shape("-//Microsoft Corporation//Outlook 10.0 MIMEDIR//EN", event(
        "UID:webex", "SUMMARY:Training", "DTSTART:20260325T090000Z",
        "DESCRIPTION:Join by phone\\n+49-619-6781-9736 Germany Toll\\nAccess code: 2345 678 9012\\n"),
        ["25 10:00 Training"], dial="+4961967819736,,23456789012#"),
    "jitsi: a tel link": Shape("-//jitsi//EN", event(
        "UID:jitsi", "SUMMARY:Neighbours", "DTSTART:20260326T170000Z",
        "CONFERENCE;VALUE=URI;FEATURE=PHONE:tel:+49-30-5557-123,,4711#"),
        ["26 18:00 Neighbours"], dial="+49305557123,,4711#"),
    "an airline: two legs across zones": Shape("-//Lufthansa//Check-in//EN", event(
        "UID:LH400", "SUMMARY:LH400 FRA-JFK", "DTSTART:20260327T095500Z", "DTEND:20260327T184000Z",
        "LOCATION:Frankfurt (FRA)") + event(
        "UID:B6915", "SUMMARY:B6 915 JFK-SFO", "DTSTART;TZID=America/New_York:20260327T174500",
        "DTEND;TZID=America/Los_Angeles:20260327T212000"),
        ["27 10:55 LH400 FRA-JFK", "27 22:45 B6 915 JFK-SFO"]),
    "a railway: bare newlines": Shape("-//DB Vertrieb GmbH//EN", event(
        "UID:ice", "SUMMARY:ICE 1001", "DTSTART;TZID=Europe/Berlin:20260329T070000"),
        ["29 07:00 ICE 1001"], newline="\n"),
    "a school: a timetable until the summer": Shape("-//Untis//Timetable//EN", BERLIN + event(
        "UID:untis-1", "SUMMARY:Maths", "DTSTART;TZID=Europe/Berlin:20260303T074500",
        "DTEND;TZID=Europe/Berlin:20260303T083000",
        "RRULE:FREQ=WEEKLY;UNTIL=20260319;BYDAY=TU,TH"),
        ["03 07:45 Maths", "05 07:45 Maths", "10 07:45 Maths", "12 07:45 Maths", "17 07:45 Maths"]),
    "a school: umlauts of Windows": Shape("-//Stundenplan//DE", event(
        "UID:s2", "SUMMARY:Übung für Anfänger", "DTSTART:20260320T130000Z"),
        ["20 14:00 Übung für Anfänger"], encoding="cp1252"),
    "waste collection: whole days, no end": Shape("-//Abfallkalender//DE", event(
        "UID:müll-1", "SUMMARY:Papiertonne", "DTSTART;VALUE=DATE:20260306"),
        ["06 00:00 Papiertonne"], all_day=True),
    "a football club: UTF-16": Shape("-//Fixtures//EN", event(
        "UID:match", "SUMMARY:Union – Bayern ⚽", "DTSTART:20260307T143000Z"),
        ["07 15:30 Union – Bayern ⚽"], encoding="utf-16"),
    "thunderbird: an alarm at a moment": Shape("-//Mozilla.org/NONSGML Mozilla Calendar V1.1//EN", event(
        "UID:tb", "SUMMARY:Dinner", "DTSTART:20260308T180000Z", "X-MOZ-GENERATION:1",
        "BEGIN:VALARM", "ACTION:DISPLAY", "TRIGGER;VALUE=DATE-TIME:20260308T170000Z", "END:VALARM"),
        ["08 19:00 Dinner"], leads=(60,)),
    "fastmail: an alarm before the end": Shape("-//CyrusIMAP.org/Cyrus 3.10//EN", event(
        "UID:fm", "SUMMARY:Parking", "DTSTART:20260309T080000Z", "DTEND:20260309T100000Z",
        "BEGIN:VALARM", "ACTION:DISPLAY", "TRIGGER;RELATED=END:-PT10M", "END:VALARM"),
        ["09 09:00 Parking"], leads=(-110,)),
    "a zone of somebody's own": Shape("-//Home grown//EN", """\
BEGIN:VTIMEZONE
TZID:Office
BEGIN:STANDARD
DTSTART:19700101T000000
TZOFFSETFROM:+0530
TZOFFSETTO:+0530
END:STANDARD
END:VTIMEZONE
""" + event("UID:office", "SUMMARY:Pune", "DTSTART;TZID=Office:20260310T133000"),
        ["10 09:00 Pune"]),
    "the night the clocks change": Shape(GOOGLE, BERLIN + event(
        "UID:dst", "SUMMARY:Backup", "DTSTART;TZID=Europe/Berlin:20260327T023000",
        "RRULE:FREQ=DAILY;COUNT=4"),
        ["27 02:30 Backup", "28 02:30 Backup", "29 03:30 Backup", "30 02:30 Backup"]),
    "one bad among good ones": Shape("-//Broken//EN", event(
        "UID:bad", "SUMMARY:Bad", "DTSTART:20261399T990000Z", "RRULE:FREQ=SOMETIMES") + event(
        "UID:good", "SUMMARY:Good", "DTSTART:20260310T080000Z"),
        ["10 09:00 Good"], left_out=1),
    "no title, and lines that are much folded": Shape("-//Folded//EN", event(
        "UID:fold", "DTST", " ART:2026", " 0310T08", " 0000Z"), ["10 09:00 something without a title"]),
}  # fmt: skip
