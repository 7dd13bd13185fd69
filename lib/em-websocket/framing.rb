# frozen_string_literal: true

require_relative "handler"
require_relative "masked_string"
require_relative "native"

module EventMachine
  module WebSocket
    # Frames by themselves, for a class that has no {Connection}: it includes one of the modules
    # below and defines `message(type, extension_data, application_data)`, which is called with each
    # message. `@connection.max_frame_size` is asked for the limit.
    #
    #     initialize_framing
    #     @data << bytes
    #     process_data
    #
    # A connection of this library does not use them.
    module Framing
      # Takes the bytes in `@data`, however they are cut, and leaves it empty. What comes after a
      # close is not read.
      #
      # @return [nil]
      # @raise [WSProtocolError] if the peer has broken a rule, after the messages before that; from
      #   then on, each time
      def process_data
        limit = @connection.max_frame_size
        @framing_undelivered.concat(
          @framing_codec.receive(@data, limit, [WebSocket.max_message_size, limit].max)
        )
        # A String takes the encoding of what is appended to it while it is empty, and then counts
        # characters.
        @data.clear.force_encoding(Encoding::BINARY)
        until @framing_undelivered.empty?
          type, body = @framing_undelivered.first
          raise body if type == :error

          @framing_undelivered.shift
          message(type, String.new, body)
        end
      end

      private

      def begin_frames(draft, data)
        @data = data
        @framing_codec = Native::Framing.new(draft)
        @framing_undelivered = []
        nil
      end
    end

    # The frames of draft 03.
    module Framing03
      include Framing

      # The numbers of the opcodes.
      FRAME_TYPES = Native::Framing.frame_types(3).freeze

      # The opcodes of the numbers.
      FRAME_TYPES_INVERSE = FRAME_TYPES.invert.freeze

      # Begins; to be called before the first bytes.
      def initialize_framing
        begin_frames(3, String.new)
      end
    end

    # The frames of draft 04 without masking: those of draft 03, except that the top bit means the
    # opposite.
    module Framing04
      include Framing03

      # (see Framing03#initialize_framing)
      def initialize_framing
        begin_frames(4, String.new)
      end
    end

    # The frames of the drafts 05 and 06.
    module Framing05
      include Framing

      # (see Framing03::FRAME_TYPES)
      FRAME_TYPES = Native::Framing.frame_types(5).freeze

      # (see Framing03::FRAME_TYPES_INVERSE)
      FRAME_TYPES_INVERSE = FRAME_TYPES.invert.freeze

      # (see Framing03#initialize_framing)
      def initialize_framing
        begin_frames(5, MaskedString.new)
      end
    end

    # The frames of the drafts 07 and later, RFC 6455's too.
    module Framing07
      include Framing

      # (see Framing03::FRAME_TYPES)
      FRAME_TYPES = Native::Framing.frame_types(7).freeze

      # (see Framing03::FRAME_TYPES_INVERSE)
      FRAME_TYPES_INVERSE = FRAME_TYPES.invert.freeze

      # (see Framing03#initialize_framing)
      def initialize_framing
        begin_frames(7, MaskedString.new)
      end
    end

    private_constant :Framing

    # Draft 76.
    class Handler76
      # Bytes that end a connection of the drafts 75 and 76, whoever sends them.
      TERMINATE_STRING = Native::TERMINATE
    end
  end
end
