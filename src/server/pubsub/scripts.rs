//! Scripts that a broker runs for channels with history, so that a message is numbered, kept and
//! published at once, or not at all.
//!
//! A channel has a Stream of its messages and a Hash: its epoch, the offset of its last message, and
//! the generation of the broker's data ([`Session`](super::session)). Where the Hash is gone, or of
//! another generation, offsets may have been given that nobody remembers: there is a new epoch.

/// Beginning of both scripts: the channel's epoch and its end, and the time in milliseconds. Of ARGV
/// it takes the generation (1), an epoch to begin with (2), and the time that is kept, in ms (3).
macro_rules! with_channel {
    ($rest:literal) => {
        concat!(
            r"
local function text(number) return string.format('%.0f', number) end
local function expire()
  local ttl = tonumber(ARGV[3])
  if ttl > 0 then
    redis.call('PEXPIRE', KEYS[1], text(ttl))
    redis.call('PEXPIRE', KEYS[2], text(2 * ttl))
  else
    redis.call('PERSIST', KEYS[1])
    redis.call('PERSIST', KEYS[2])
  end
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local meta = redis.call('HMGET', KEYS[2], 'epoch', 'generation', 'end')
local epoch, last = meta[1], tonumber(meta[3])
local is_new = not epoch or meta[2] ~= ARGV[1] or not last
if is_new then epoch, last = ARGV[2], 0 end
",
            $rest
        )
    };
}

/// Publishes a message once: `{epoch, offset}`. KEYS: stream, hash, the number of the last message
/// of the process. ARGV from 4 on: channel, line without its end, message, number in the process,
/// how many are kept.
pub(super) const PUBLISH: &str = with_channel!(
    r"
local done = redis.call('GET', KEYS[3])
if done and tonumber(done) >= tonumber(ARGV[7]) then return {epoch, '0'} end
local offset = text(last + 1)
local message = ARGV[5] .. ' ' .. epoch .. ' ' .. offset .. ' ' .. text(now) .. '\n' .. ARGV[6]
-- First what needs memory: a Redis that has none left refuses nothing after another write.
redis.call('HSET', KEYS[2], 'epoch', epoch, 'generation', ARGV[1], 'end', offset)
if is_new then redis.call('DEL', KEYS[1]) end
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[8], offset .. '-0', 'm', message)
expire()
local published = redis.pcall('PUBLISH', ARGV[4], message)
if type(published) == 'table' and published.err then
  -- Nobody has got it, so that it was never there.
  redis.call('XDEL', KEYS[1], offset .. '-0')
  redis.call('HSET', KEYS[2], 'end', text(last))
  return published
end
redis.call('SET', KEYS[3], ARGV[7], 'EX', '86400')
return {epoch, offset}
"
);

/// Answers what is kept: `{epoch, end, now, messages}`, the oldest first. KEYS: stream, hash. ARGV
/// from 4 on: how many are kept, the epoch and the offset after which they are wanted, how many at
/// most.
pub(super) const LOAD: &str = with_channel!(
    r"
if is_new then
  redis.call('HSET', KEYS[2], 'epoch', epoch, 'generation', ARGV[1], 'end', '0')
  redis.call('DEL', KEYS[1])
  expire()
end
local from = math.max(0, last - tonumber(ARGV[4]))
if ARGV[5] == epoch then from = math.max(from, tonumber(ARGV[6])) end
local messages = {}
if from < last then
  local first = text(from + 1) .. '-0'
  for _, entry in ipairs(redis.call('XRANGE', KEYS[1], first, '+', 'COUNT', ARGV[7])) do
    messages[#messages + 1] = entry[2][2]
  end
end
return {epoch, text(last), text(now), messages}
"
);
