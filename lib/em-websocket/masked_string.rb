# frozen_string_literal: true

require_relative "native"

module EventMachine
  module WebSocket
    # Bytes that begin with the four of their masking key (RFC 6455 section 5.3), and are read
    # through it once it is known.
    class MaskedString < String
      # Takes the first four bytes as the masking key of all that follow.
      #
      # @return [String] the key
      # @raise [RuntimeError] if there are not four bytes yet, or they are not ASCII-8BIT
      def read_mask
        raise "MaskedString only operates on BINARY strings" unless encoding == Encoding::BINARY
        raise "Too short" if bytesize < 4

        @masking_key = byteslice(0, 4)
      end

      # Forgets the masking key: what is read is what is there.
      #
      # @return [nil]
      def unset_mask
        @masking_key = nil
      end

      # @param index [Integer]
      # @return [Integer, nil] the byte there, without its mask
      def getbyte(index)
        byte = super
        return byte unless byte && @masking_key

        Native.masked([byte].pack("C"), @masking_key, index % 4).getbyte(0)
      end

      # @param start [Integer]
      # @param count [Integer]
      # @return [String, nil] the bytes there, without their mask; ASCII-8BIT
      def getbytes(start, count)
        bytes = byteslice(start, count)
        return bytes&.b unless @masking_key

        bytes && Native.masked(bytes, @masking_key, start % 4)
      end
    end
  end
end
