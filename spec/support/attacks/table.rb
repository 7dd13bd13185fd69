# frozen_string_literal: true

require_relative "../drafts"

# Bytes that are sent to a server to do it harm, or in error, and what comes of them.
# The tables are the other files of this directory; they name what the server refuses, and beside
# it what it takes although it looks alike.
module Attacks
  # Line of a table. Its outcome says which of the last columns it has.
  Row = Struct.new(
    :name,
    :section, # of the RFC, or of the draft, that it rests on
    :drafts,  # whose clients do this
    :server,  # which of the Target's servers it is done to
    :request, # what differs from a good opening handshake, as RawClient#request takes it
    :bytes,   # a block: makes what is sent of the request and the client; frames, of the client
    :outcome, # of a request: :refusal, :silence, :opening; of frames: :failure, :talk, :goodbye
    :status,  # of the refusal
    :code,    # on the wire, of the failure or the goodbye
    :reason,  # of the goodbye
    :text,    # what onerror is told; or a block, which makes it of the draft
    :replies, # [type, payload] of each frame that comes back before anything else
    :tells,   # [callback, value] for each of them; found out from the replies
    :absent,  # what no line of the answer to an opening is like
    :path,    # what the application is told of the target of an opening
    :pending, # what happens instead
    keyword_init: true
  ) do
    def to_s = "#{name} (#{section}): #{result}"

    def request? = %i[refusal silence opening].include?(outcome)

    def text_for(draft) = text.respond_to?(:call) ? text.call(draft) : text

    def result
      case outcome
      when :refusal then status
      when :silence then "the end, without a word"
      when :opening then "taken"
      when :failure then code
      when :talk then "answered by #{replies.map(&:first).join(" and ")}"
      when :goodbye then "a clean close"
      end
    end
  end

  # The drafts that have a thing in common.
  ALL = Drafts::ALL.map(&:number).freeze
  RFC = [13].freeze
  STRICT = [7, 8, 13].freeze             # whose frames and keys are held to RFC 6455
  OLD = [75, 76, 1, 2, 3, 5, 6].freeze   # whose clients need no Host
  LENIENT = [1, 2, 3, 5, 6].freeze       # with lengths and opcodes, and no more rules than that
  FRAMED = (LENIENT + STRICT).freeze
  CODED = [6, 7, 8, 13].freeze           # whose close frames carry a code
  SENTINELS = [75, 76].freeze            # 00 ... FF
  CHALLENGES = [76, 1, 2, 3].freeze      # two keys and eight bytes
  ACCEPTS = [5, 6, 7, 8, 13].freeze      # Sec-WebSocket-Key

  # Message of the error for bytes that are no request; the counts are em-websocket's parser's.
  NO_HTTP = /\AInvalid HTTP header: Could not parse data entirely \(\d+ != \d+\)\z/

  # Limits of a Target: little, so that it takes few bytes to exceed it.
  MAX_FRAME = 4096
  MAX_MESSAGE = 6000

  # Errors that onerror is told of, by close code.
  ERRORS = {
    1002 => EventMachine::WebSocket::WSProtocolError,
    1007 => EventMachine::WebSocket::InvalidDataError,
    1009 => EventMachine::WebSocket::WSMessageTooBigError
  }.freeze

  # A group of rows, in the words that they are written with.
  class Table
    attr_reader :title, :rows

    def initialize(title, **defaults, &lines)
      @title = title
      @defaults = defaults
      @rows = []
      instance_eval(&lines)
    end

    # A request that is answered with this status; onerror is told the text.
    def refuses(name, section, status, text, **differences, &bytes)
      add(name, section, :refusal, differences, status: status, text: text, bytes: bytes)
    end

    # Bytes that are no WebSocket request: the connection ends without a word, onerror is told.
    def hangs_up_on(name, section, text = NO_HTTP, **differences, &bytes)
      add(name, section, :silence, differences, text: text, bytes: bytes)
    end

    # A request that opens a WebSocket. None of the answer's lines is like `absent`.
    def opens(name, section, **differences, &bytes)
      add(name, section, :opening, differences, bytes: bytes)
    end

    # Frames that fail the connection with this close code; onerror is told the text.
    def fails(name, section, code, text, **differences, &bytes)
      add(name, section, :failure, differences, code: code, text: text, bytes: bytes)
    end

    # Frames that are answered by these: [[:pong, "x"], [:text, "echo"]].
    def takes(name, section, replies, **differences, &bytes)
      add(name, section, :talk, differences, replies: replies, bytes: bytes)
    end

    # Frames of which nothing but a close is heard, with this code and reason.
    def closes(name, section, code, reason, **differences, &bytes)
      add(name, section, :goodbye, differences, code: code, reason: reason, bytes: bytes)
    end

    private

    # Callbacks by the types of the messages that come back.
    TOLD = { text: :message, binary: :binary, pong: :ping }.freeze
    private_constant :TOLD

    def add(name, section, outcome, differences, **columns)
      differences = { drafts: RFC, server: :plain, replies: [], **@defaults, **differences }
      about, request = differences.partition { |key, _| Row.members.include?(key) }.map(&:to_h)
      row = Row.new(name:, section:, outcome:, request:, **about, **columns)
      row.tells ||= row.replies.map { |type, payload| [TOLD.fetch(type), payload] }
      @rows << row.freeze
    end
  end

  class << self
    # Adds a table of opening handshakes, or of frames.
    def handshakes(title, **defaults, &lines) = tables << Table.new(title, **defaults, &lines)
    def frames(title, **defaults, &lines) = tables << Table.new(title, **defaults, &lines)

    def tables = @tables ||= []

    # A frame whose length takes this many bits, needed or not, and may say what is not true. Its
    # mask is of zeros.
    def frame(client, type, payload, bits:, length: payload.bytesize)
      draft = client.draft
      first = (draft.last_bit << 7) | draft.opcodes.fetch(type)
      flag = draft.masking == :flagged ? 0x80 : 0
      form = { 16 => [126, "n"], 64 => [127, "Q>"] }.fetch(bits)
      head = [first, flag | form.first, length].pack("CC#{form.last}")
      case draft.masking
      when :never then head + payload.b
      when :leading then "\0\0\0\0".b + head + payload.b
      when :flagged then "#{head}\0\0\0\0".b + payload.b
      end
    end
  end
end
