//! The beginning of a value: what it is, and all of it if nothing is inside.

/// A value of MessagePack, or the beginning of a list or a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Head<'a> {
    Nil,
    /// JavaScript's `undefined`.
    Undefined,
    Bool(bool),
    Uint(u64),
    /// Below zero.
    Int(i64),
    F32(f32),
    F64(f64),
    /// Not checked to be UTF-8.
    Str(&'a [u8]),
    Bin(&'a [u8]),
    /// Milliseconds from 1970.
    Date(i64),
    /// An extension that means nothing to us.
    Ext(&'a [u8]),
    /// So many elements follow.
    Array(u32),
    /// So many pairs follow.
    Map(u32),
}

/// The fault of bytes that are no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// They end too early.
    Cut,
    /// `c1`, which means nothing.
    Reserved,
    /// A text is not UTF-8.
    Utf8,
    /// The key of a map is a list or a map, or an extension.
    Key,
    /// Deeper than so many levels.
    TooDeep { max: usize },
}

fn chunk<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Fault> {
    let (chunk, behind) = rest.split_first_chunk::<N>().ok_or(Fault::Cut)?;
    *rest = behind;
    Ok(*chunk)
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], Fault> {
    let (taken, behind) = rest.split_at_checked(len).ok_or(Fault::Cut)?;
    *rest = behind;
    Ok(taken)
}

fn len8(rest: &mut &[u8]) -> Result<usize, Fault> {
    Ok(usize::from(u8::from_be_bytes(chunk(rest)?)))
}

fn len16(rest: &mut &[u8]) -> Result<usize, Fault> {
    Ok(usize::from(u16::from_be_bytes(chunk(rest)?)))
}

fn len32(rest: &mut &[u8]) -> Result<usize, Fault> {
    Ok(u32::from_be_bytes(chunk(rest)?) as usize)
}

/// A whole number, whatever it is written as.
fn int(value: i64) -> Head<'static> {
    u64::try_from(value).map_or(Head::Int(value), Head::Uint)
}

impl<'a> Head<'a> {
    /// Takes one value, or the beginning of one, from the front of `rest`.
    #[inline]
    pub(crate) fn read(rest: &mut &'a [u8]) -> Result<Self, Fault> {
        let [byte] = chunk(rest)?;
        Ok(match byte {
            0x00..=0x7f => Self::Uint(u64::from(byte)),
            0x80..=0x8f => Self::Map(u32::from(byte & 0x0f)),
            0x90..=0x9f => Self::Array(u32::from(byte & 0x0f)),
            0xa0..=0xbf => Self::Str(take(rest, usize::from(byte & 0x1f))?),
            0xe0..=0xff => Self::Int(i64::from(byte as i8)),
            0xc0 => Self::Nil,
            0xc2 => Self::Bool(false),
            0xc3 => Self::Bool(true),
            _ => return Self::long(byte, rest),
        })
    }

    /// The same for what is longer than its first byte says.
    fn long(byte: u8, rest: &mut &'a [u8]) -> Result<Self, Fault> {
        Ok(match byte {
            0xc4 => len8(rest).and_then(|len| take(rest, len)).map(Self::Bin)?,
            0xc5 => len16(rest).and_then(|len| take(rest, len)).map(Self::Bin)?,
            0xc6 => len32(rest).and_then(|len| take(rest, len)).map(Self::Bin)?,
            0xc7 => {
                let len = len8(rest)?;
                Self::ext(false, len, rest)?
            }
            0xc8 => {
                let len = len16(rest)?;
                Self::ext(false, len, rest)?
            }
            0xc9 => {
                let len = len32(rest)?;
                Self::ext(false, len, rest)?
            }
            0xca => Self::F32(f32::from_be_bytes(chunk(rest)?)),
            0xcb => Self::F64(f64::from_be_bytes(chunk(rest)?)),
            0xcc => Self::Uint(u64::from(u8::from_be_bytes(chunk(rest)?))),
            0xcd => Self::Uint(u64::from(u16::from_be_bytes(chunk(rest)?))),
            0xce => Self::Uint(u64::from(u32::from_be_bytes(chunk(rest)?))),
            0xcf => Self::Uint(u64::from_be_bytes(chunk(rest)?)),
            0xd0 => int(i64::from(i8::from_be_bytes(chunk(rest)?))),
            0xd1 => int(i64::from(i16::from_be_bytes(chunk(rest)?))),
            0xd2 => int(i64::from(i32::from_be_bytes(chunk(rest)?))),
            0xd3 => int(i64::from_be_bytes(chunk(rest)?)),
            0xd4 => Self::ext(true, 1, rest)?,
            0xd5 => Self::ext(true, 2, rest)?,
            0xd6 => Self::ext(true, 4, rest)?,
            0xd7 => Self::ext(true, 8, rest)?,
            0xd8 => Self::ext(true, 16, rest)?,
            0xd9 => len8(rest).and_then(|len| take(rest, len)).map(Self::Str)?,
            0xda => len16(rest).and_then(|len| take(rest, len)).map(Self::Str)?,
            0xdb => len32(rest).and_then(|len| take(rest, len)).map(Self::Str)?,
            0xdc => Self::Array(u32::from(u16::from_be_bytes(chunk(rest)?))),
            0xdd => Self::Array(u32::from_be_bytes(chunk(rest)?)),
            0xde => Self::Map(u32::from(u16::from_be_bytes(chunk(rest)?))),
            0xdf => Self::Map(u32::from_be_bytes(chunk(rest)?)),
            _ => return Err(Fault::Reserved),
        })
    }

    /// An extension. npm's notepack has type 0 for three things, which differ in length and in form.
    fn ext(is_fixed: bool, len: usize, rest: &mut &'a [u8]) -> Result<Self, Fault> {
        let [kind] = chunk(rest)?;
        let data = take(rest, len)?;
        Ok(match (kind as i8, data) {
            (0, [_]) if is_fixed => Self::Undefined,
            (0, _) if is_fixed => match data.first_chunk() {
                Some(millis) if len == 8 => Self::Date(i64::from_be_bytes(*millis)),
                _ => Self::Ext(data),
            },
            (0, _) => Self::Bin(data),
            (-1, _) => timestamp(data).map_or(Self::Ext(data), Self::Date),
            _ => Self::Ext(data),
        })
    }
}

/// The milliseconds of the timestamp that the specification of MessagePack has.
fn timestamp(data: &[u8]) -> Option<i64> {
    let (seconds, nanos) = match *data {
        [a, b, c, d] => (i64::from(u32::from_be_bytes([a, b, c, d])), 0),
        [_, _, _, _, _, _, _, _] => {
            let both = u64::from_be_bytes(*data.first_chunk()?);
            ((both & 0x3_ffff_ffff) as i64, (both >> 34) as u32)
        }
        [a, b, c, d, ref seconds @ ..] if seconds.len() == 8 => {
            (i64::from_be_bytes(*seconds.first_chunk()?), u32::from_be_bytes([a, b, c, d]))
        }
        _ => return None,
    };
    seconds.checked_mul(1000)?.checked_add(i64::from(nanos.checked_div(1_000_000)?))
}
