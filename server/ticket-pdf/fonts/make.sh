#!/usr/bin/env bash
# Makes the fonts beside it again from the packages named in README.md. Nothing else runs this: the
# files are committed. It needs npm, apt-get and Python with venv.
set -euo pipefail
out=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv python
python/bin/pip install --quiet fonttools==4.68.0
npm pack --silent @expo-google-fonts/inter@0.4.2 @expo-google-fonts/gelasio@0.4.1 \
  @expo-google-fonts/noto-emoji@0.4.7
for archive in expo-*.tgz; do
  mkdir -p "npm/$archive"
  tar --extract --gzip --file "$archive" --directory "npm/$archive" --strip-components 1
done
apt-get download fonts-noto-cjk fonts-noto-core
for package in fonts-*.deb; do dpkg --extract "$package" debian; done

cut() { # SOURCE NAME OPTION...: what is needed of a font, without hints for screens
  python/bin/pyftsubset "$1" --output-file="$out/$2" --no-hinting --name-IDs=0,1,2,3,5,6,13,14 \
    --drop-tables+=DSIG,STAT,meta,vhea,vmtx,VORG,BASE "${@:3}"
}

# Latin, Greek and Cyrillic letters, punctuation, currency signs and arrows.
western='U+0020-007E,U+00A0-024F,U+0259,U+02BB-02DD,U+0300-030C,U+0323-0328,U+0370-03FF,U+0400-052F'
western+=',U+1E00-1EFF,U+1F00-1FFF,U+2010-2027,U+2030-203A,U+2044,U+2070-209F,U+20A0-20C0'
western+=',U+2100-214F,U+2190-2199,U+2212,U+2215,U+25CC,U+FFFD'
features='--layout-features=ccmp,kern,mark,mkmk'
cut npm/expo-google-fonts-inter-*/400Regular/Inter_400Regular.ttf Inter-Regular.ttf \
  --unicodes="$western" "$features" --notdef-outline
cut npm/expo-google-fonts-inter-*/600SemiBold/Inter_600SemiBold.ttf Inter-SemiBold.ttf \
  --unicodes="$western" "$features" --notdef-outline
cut npm/expo-google-fonts-gelasio-*/700Bold/Gelasio_700Bold.ttf Gelasio-Bold.ttf \
  --unicodes="$western" "$features"
cut npm/expo-google-fonts-noto-emoji-*/400Regular/NotoEmoji_400Regular.ttf NotoEmoji-Regular.ttf \
  --unicodes='*' --layout-features=ccmp

for script in Arabic Armenian Bengali Devanagari Ethiopic Georgian Gujarati Gurmukhi Hebrew Kannada \
  Khmer Lao Malayalam Myanmar Sinhala Tamil Telugu Thai; do
  cut "debian/usr/share/fonts/truetype/noto/NotoSans$script-Regular.ttf" "NotoSans$script-Regular.ttf" \
    --unicodes='*'
done

# Of the Han characters, those that the encodings of Japan, China, Taiwan and Korea have; each in the
# shapes of all five countries, which a text's language chooses.
python/bin/python - > cjk.txt <<'PYTHON'
letters = set(range(0x1100, 0x1200)) | set(range(0xAC00, 0xD7A4))
for codec in "cp932", "gb2312", "big5", "euc_kr":
    for point in range(0x2000, 0x10000):
        try:
            encoded = chr(point).encode(codec)
        except UnicodeEncodeError:
            continue
        # Big5's second half holds characters that hardly occur.
        if codec == "big5" and 0x4E00 <= point < 0xA000 and encoded[0] > 0xC6:
            continue
        letters.add(point)
for first, last in (0x3000, 0x312F), (0x31A0, 0x31FF), (0x3200, 0x33FF), (0xFE30, 0xFE4F), (0xFF00, 0xFFEF):
    letters |= set(range(first, last + 1))
print("\n".join(f"{point:04X}" for point in sorted(letters) if not 0xE000 <= point < 0xF900))
PYTHON
cut debian/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc NotoSansCJK-Regular.otf \
  --font-number=0 --unicodes-file=cjk.txt --layout-features=ccmp,ljmo,locl,tjmo,vjmo \
  --drop-tables+=GPOS,GDEF
ls -l "$out"
